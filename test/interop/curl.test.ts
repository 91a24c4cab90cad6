import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, httpEndpoint, type LoopbackHost } from "../support/endpoints.ts";
import { Tunnel } from "../support/tunnel.ts";
import { curlPairings, isWanted, nameOf, type Pairing } from "./cells.ts";
import { bridgeToSocket } from "./socket-bridge.ts";

const run = promisify(execFile);
const body = "x".repeat(100_000);

for (const pairing of curlPairings) {
  describe.runIf(isWanted(pairing))(`curl, ${nameOf(pairing)}`, () => throughProxy(pairing));
}

function throughProxy(pairing: Pairing): void {
  let tunnel: Tunnel;
  let bridge: Endpoint | undefined;
  let proxyFlags: string[];

  beforeAll(async () => {
    tunnel = await Tunnel.start(pairing);
    const { frontend } = tunnel.server;
    if (frontend.transport === "uds") {
      bridge = await bridgeToSocket(frontend.path);
      proxyFlags = ["-x", `http://${bridge.address}`];
    } else {
      const { client, frontendCa } = tunnel.workspace.certificates;
      const identity = ["--proxy-cert", client.cert, "--proxy-key", client.key, "--proxy-cacert", frontendCa];
      proxyFlags = ["-x", `https://${frontend.host}:${frontend.port}`, ...identity];
    }
  });
  afterAll(async () => {
    await bridge?.close();
    await tunnel.stop();
  });

  describe.each<LoopbackHost>(["127.0.0.1", "::1"])("endpoint on %s", (host) => {
    test.each(["http", "https"] as const)("%s", async (scheme) => {
      const { endpoint: pair, endpointCa } = tunnel.workspace.certificates;
      const tls = { cert: readFileSync(pair.cert, "utf8"), key: readFileSync(pair.key, "utf8") };
      const answer = (_request: unknown, response: { end(text: string): unknown }) => response.end(body);
      const endpoint = await httpEndpoint({ host, answer, ...(scheme === "https" && { tls }) });
      try {
        const url = `${scheme}://${endpoint.address}/`;
        const { stdout } = await run("curl", [
          "-sS",
          "-f",
          "-m",
          "20",
          "-p",
          ...proxyFlags,
          "--cacert",
          endpointCa,
          url,
        ]);
        expect(stdout).toBe(body);
        expect(endpoint.acceptedCount).toBe(1);
      } finally {
        await endpoint.close();
      }
    });
  });

  test("a refused endpoint is 502", async () => {
    const endpoint = await httpEndpoint();
    await endpoint.close();
    const flags = ["-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_connect}", "-p", ...proxyFlags];
    const failed = await run("curl", [...flags, `http://${endpoint.address}/`]).then(
      () => expect.unreachable("curl connected to a closed port"),
      (error: { readonly stdout: string }) => error.stdout,
    );
    expect(failed).toBe("502");
  });
}

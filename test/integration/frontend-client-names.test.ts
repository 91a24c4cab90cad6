import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { issueClientPair, type PairFiles } from "../support/certificates.ts";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { readAll, readHead } from "../support/frontend-client.ts";
import { startServer } from "../support/processes.ts";
import type { Scene } from "../support/scene.ts";
import { until } from "../support/until.ts";
import { useScene } from "../support/use-scene.ts";
import { Workspace } from "../support/workspace.ts";

const established = "HTTP/1.1 200 Connection Established\r\n\r\n";

describe("a frontend that serves named clients", () => {
  let scene: Scene;
  let echo: Endpoint;
  useScene(
    {
      frontend: { protocol: "connect", transport: "tcp" },
      serverFlags: [
        "--mode=auto",
        "--frontend-client-names=client,api.example",
        "--frontend-client-names=spiffe://c/api",
      ],
    },
    (started) => {
      scene = started;
    },
  );
  beforeEach(async () => {
    echo = await scene.endpoint(echoEndpoint());
  });

  const issue = (commonName: string, ...names: readonly string[]): PairFiles =>
    issueClientPair(scene.tunnel.workspace.certificates.frontendCa, { commonName, names });

  async function ask(pair: PairFiles) {
    const socket = await scene.socket({ pair, alpn: ["http/1.1"] });
    socket.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
    return socket;
  }

  test.each([
    ["its common name", () => scene.tunnel.workspace.certificates.client],
    ["a DNS name", () => issue("somebody", "other.example", "API.example")],
    ["a URI", () => issue("somebody", "spiffe://c/api")],
  ])("serves one by %s", async (_what, pair) => {
    expect(await readHead(await ask(pair()))).toBe(established);
  });

  test("serves one who resumes a TLS session, who shows no certificate anew", async () => {
    const { certificates } = scene.tunnel.workspace;
    const { frontend } = scene.tunnel.server;
    if (frontend.transport !== "tcp") throw new Error("not over TCP");
    const { cert, key } = certificates.client;
    const open = (session?: Buffer): TLSSocket =>
      connect({
        host: frontend.host,
        port: frontend.port,
        ca: readFileSync(certificates.frontendCa),
        cert: readFileSync(cert),
        key: readFileSync(key),
        ...(session === undefined ? {} : { session }),
      });
    const first = open();
    const [session] = (await once(first, "session")) as [Buffer];
    first.destroy();
    const again = open(session);
    again.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
    expect(await readHead(again)).toBe(established);
    expect(again.isSessionReused()).toBe(true);
    again.destroy();
  });

  test("closes any other before it reads anything, says who it was, and counts it", async () => {
    const { server } = scene.tunnel;
    const refused = async () =>
      (await server.metrics()).sum("hawser_server_refused_total", { limit: "frontend_client_names" }) ?? 0;
    const before = await refused();
    const socket = await ask(issue("Client", "10.0.0.1", "sub.api.example", "spiffe://c/api/2"));
    expect(await readAll(socket)).toBe("");
    expect(await refused()).toBe(before + 1);
    expect(echo.acceptedCount).toBe(0);
    const line = await until(
      "a line about the refusal",
      () => server.stderr.find((text) => text.includes("frontend client refused")),
      server.withinStart(),
    );
    expect(JSON.parse(line)).toMatchObject({
      level: "warn",
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      names: ["Client", "sub.api.example", "10.0.0.1", "spiffe://c/api/2"],
    });
  });
});

describe("one authority for frontends and agents", () => {
  const workspace = new Workspace();
  afterEach(() => workspace.remove());

  test("is warned of at start, unless clients are named", async () => {
    const { frontendCa } = workspace.certificates;
    const warnings = async (...flags: readonly string[]) => {
      const server = await startServer({
        implementation: "hawser",
        workspace,
        frontend: { protocol: "grpc", transport: "tcp" },
        flags: [`--cluster-ca-cert=${frontendCa}`, ...flags],
      });
      const listens = () => server.stderr.some((line) => line.includes("listening for agents"));
      await until("the line that follows any warning", listens, server.withinStart());
      const lines = server.stderr.filter((line) => line.includes("both have the authority CN=frontend CA"));
      await server.stop();
      return lines;
    };
    expect(await warnings()).toEqual([expect.stringContaining('"level":"warn"')]);
    expect(await warnings("--frontend-client-names=client")).toEqual([]);
    expect(await warnings(`--cluster-ca-cert=${workspace.certificates.agentCa}`)).toEqual([]);
  });
});

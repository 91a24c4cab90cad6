import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { beforeAll, describe, expect, test } from "vitest";
import { type IssuedPair, issueCa, issueCertificate } from "../../../shared/tls/issue.ts";
import type { PairFiles } from "../../support/certificates.ts";
import type { Scene } from "../../support/scene.ts";
import { useScene } from "../../support/use-scene.ts";

const lifetime = { commonName: "intruder", validityDays: 1 };
const client = { ...lifetime, usages: ["client"], names: [] } as const;

let scene: Scene;
useScene({ frontend: { protocol: "connect", transport: "tcp" } }, (started) => {
  scene = started;
});

const read = (file: string) => readFileSync(file, "utf8");

function save(name: string, pair: IssuedPair): PairFiles {
  const { workspace } = scene.tunnel;
  const files = { cert: workspace.path(`${name}.crt`), key: workspace.path(`${name}.key`) };
  writeFileSync(files.cert, pair.cert);
  writeFileSync(files.key, pair.key);
  return files;
}

interface Listener {
  readonly port: number;
  /** The CA of its own certificate and of its clients'. */
  readonly ca: string;
  readonly rightPair: PairFiles;
  readonly pairOfOtherListener: PairFiles;
  /** What a client says first, and gets an answer to. */
  readonly request: string;
}

const listeners: Record<string, () => Listener> = {
  "agent port": () => {
    const { server, workspace } = scene.tunnel;
    const { agentCa, agent, client } = workspace.certificates;
    const request = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    return { port: server.agentPort, ca: agentCa, rightPair: agent, pairOfOtherListener: client, request };
  },
  "TCP frontend": () => {
    const { server, workspace } = scene.tunnel;
    const { frontendCa, agent, client } = workspace.certificates;
    if (server.frontend.transport !== "tcp") throw new Error("not over TCP");
    const request = "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n";
    return { port: server.frontend.port, ca: frontendCa, rightPair: client, pairOfOtherListener: agent, request };
  },
};

/**
 * Resolves to how many bytes a client gets for its request: at the first, or at the end. A client of TLS 1.3 has finished its
 * handshake before the server looks at its certificate, so success there says nothing.
 */
function bytesFor({ port, ca, request }: Listener, pair: PairFiles | undefined): Promise<number> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    ca: read(ca),
    ALPNProtocols: ["h2", "http/1.1"],
    ...(pair === undefined ? {} : { cert: read(pair.cert), key: read(pair.key) }),
  });
  socket.on("error", () => {});
  socket.write(request);
  return new Promise((resolve) => {
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.length);
    });
    socket.once("close", () => resolve(0));
  });
}

describe.each(Object.keys(listeners))("%s", (name) => {
  let listener: Listener;
  beforeAll(() => {
    listener = listeners[name]?.() as Listener;
  });

  test("a client with the right certificate is answered", async () => {
    expect(await bytesFor(listener, listener.rightPair)).toBeGreaterThan(0);
  });

  test("a client without a certificate is not", async () => {
    expect(await bytesFor(listener, undefined)).toBe(0);
  });

  test("a client with a certificate of a foreign CA is not, also where that bears the same name", async () => {
    const commonName = name === "agent port" ? "agent CA" : "frontend CA";
    const foreign = save("foreign", issueCertificate(issueCa({ ...lifetime, commonName }), client));
    expect(await bytesFor(listener, foreign)).toBe(0);
  });

  test("a client with the certificate for the other listener is not", async () => {
    expect(await bytesFor(listener, listener.pairOfOtherListener)).toBe(0);
  });

  test("a client with an expired certificate is not", async () => {
    const ca = { cert: read(listener.ca), key: read(listener.ca.replace(/crt$/, "key")) };
    const now = new Date("2020-01-01T00:00:00Z");
    expect(await bytesFor(listener, save("expired", issueCertificate(ca, { ...client, now })))).toBe(0);
  });

  test("a client with a certificate for servers is not", async () => {
    const ca = { cert: read(listener.ca), key: read(listener.ca.replace(/crt$/, "key")) };
    const server = { ...lifetime, usages: ["server"], names: ["localhost"] } as const;
    expect(await bytesFor(listener, save("server-only", issueCertificate(ca, server)))).toBe(0);
  });
});

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer, type TlsOptions } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { connectGrpc } from "../../../shared/grpc/client.ts";
import { ElasticSocket } from "../../../shared/grpc/elastic-socket.ts";
import { GrpcServer } from "../../../shared/grpc/server.ts";
import { GrpcCode } from "../../../shared/grpc/status.ts";
import type { GrpcServerCall, GrpcServerSession } from "../../../shared/grpc/stream.ts";
import { issueTestCertificates, type TestCertificates } from "../../support/certificates.ts";
import { Relay } from "../../support/relay.ts";
import { until } from "../../support/until.ts";
import { deps } from "./hawser-peer.ts";
import { deferred } from "./peers.ts";

/** What TLS adds: the protocol agreed on, the count of received bytes, the sniffed first bytes. */

let folder: string;
let certificates: TestCertificates;
const cleanUps: (() => unknown)[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "hawser-grpc-"));
  certificates = issueTestCertificates(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function listen(options: TlsOptions, accept: (socket: Socket) => void): Promise<number> {
  const { cert, key } = certificates.cluster;
  const listener: Server = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key), ...options }, accept);
  listener.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  cleanUps.push(() => new Promise((resolve) => listener.close(resolve)));
  return (listener.address() as AddressInfo).port;
}

/** `below`: TLS stands on the elastic socket, as at an agent; `true`: the elastic socket on TLS. */
type Elastic = boolean | "below";

function connect(port: number, options: { readonly elastic: Elastic; readonly ca?: string }) {
  const host = "127.0.0.1";
  const below = options.elastic === "below" ? new ElasticSocket(deps, connectTcp({ port, host })) : undefined;
  return connectGrpc(deps, {
    socket: () =>
      connectTls({
        ...(below === undefined ? { port } : { socket: below }),
        host,
        ca: readFileSync(options.ca ?? certificates.agentCa),
        ALPNProtocols: ["h2"],
      }),
    authority: "localhost",
    userAgent: "hawser-test/1",
    elastic: below ?? options.elastic === true,
    connectTimeoutMs: 10_000,
  });
}

function echoServer() {
  const session = deferred<GrpcServerSession>();
  const echo = (call: GrpcServerCall) =>
    call.start({
      onMessage: (message) => void call.send(message),
      onEnd: () => call.finish({ code: GrpcCode.OK, message: "" }),
      onClose() {},
    });
  const server = new GrpcServer(deps, { handlers: new Map([["/Echo", echo]]), role: "agents" });
  cleanUps.push(() => server.abort("the test is over"));
  return { server, session };
}

test.each<{ elastic: Elastic; sniffed: boolean }>([
  { elastic: "below", sniffed: false },
  { elastic: true, sniffed: false },
  { elastic: false, sniffed: false },
  { elastic: true, sniffed: true },
])("1 MiB there and back over TLS (elastic: $elastic, first bytes sniffed: $sniffed)", async ({ elastic, sniffed }) => {
  const { server, session } = echoServer();
  const port = await listen({ ALPNProtocols: ["h2"] }, (socket) => {
    if (!sniffed) return session.resolve(server.accept(socket));
    socket.once("readable", () => {
      socket.unshift(socket.read() ?? Buffer.alloc(0));
      session.resolve(server.accept(socket));
    });
  });
  const client = await connect(port, { elastic });
  cleanUps.push(() => client.abort("the test is over"));
  const call = client.open("/Echo");
  const sent = Buffer.alloc(1024 * 1024, "0123456789");
  call.start({
    onMessage(message) {
      expect(message.equals(sent)).toBe(true);
      call.end();
    },
    onClose() {},
  });
  call.send(sent);
  expect((await call.closed).code).toBe(GrpcCode.OK);
  // HTTP/2 reads the socket's handle by itself; the count that keepalive goes by grows all the same.
  const { socket } = await session.promise;
  expect(socket.bytesRead).toBeGreaterThan(sent.length);
  await client.close();
});

test("a server that does not speak h2, or that the client does not trust", async () => {
  const port = await listen({ ALPNProtocols: ["http/1.1"] }, (socket) => socket.on("error", () => {}));
  const silent = await listen({}, (socket) => socket.on("error", () => {}).resume());
  for (const elastic of ["below", true, false] as const) {
    await expect(connect(port, { elastic })).rejects.toMatchObject({ code: GrpcCode.UNAVAILABLE });
    await expect(connect(silent, { elastic })).rejects.toMatchObject({
      code: GrpcCode.UNAVAILABLE,
      message: expect.stringMatching(/ALPN/),
    });
    const foreign = connect(silent, { elastic, ca: certificates.endpointCa });
    await expect(foreign).rejects.toMatchObject({ code: GrpcCode.UNAVAILABLE, cause: expect.any(Error) });
  }
});

test("a session is given up after its peer has ended and reads nothing", async () => {
  const session = deferred<GrpcServerSession>();
  const flood = (call: GrpcServerCall) => {
    call.start({ onMessage() {}, onClose() {} });
    for (let count = 0; count < 48; count++) call.send(Buffer.alloc(512 * 1024));
  };
  const server = new GrpcServer(deps, { handlers: new Map([["/Flood", flood]]), role: "agents" });
  const port = await listen({ ALPNProtocols: ["h2"] }, (socket) => session.resolve(server.accept(socket)));
  const relay = await Relay.start(port);
  cleanUps.push(() => relay.stop());
  const tls = connectTls({
    port: relay.port,
    host: "127.0.0.1",
    ca: readFileSync(certificates.agentCa),
    ALPNProtocols: ["h2"],
  });
  const client = connectHttp2("http://localhost", {
    createConnection: () => tls,
    settings: { initialWindowSize: 64 * 1024 * 1024 },
  });
  cleanUps.push(() => client.destroy());
  client.on("error", () => {});
  client.once("connect", () => client.setLocalWindowSize(64 * 1024 * 1024));
  const request = client.request(
    { ":method": "POST", ":path": "/Flood", "content-type": "application/grpc" },
    { endStream: false },
  );
  request.on("error", () => {});
  await once(request, "response");
  relay.stall();
  const accepted = await session.promise;
  await until("writes to wait in the socket", () => accepted.socket.writableLength > 0, { withinMs: 10_000 });
  const ended = once(accepted.socket, "end");
  relay.end();
  await ended;
  // The end reaches HTTP/2 some turns of the loop later.
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  accepted.abort("the test gives up");
  await accepted.closed;
});

test("a listener that takes TCP and never answers the handshake", async () => {
  const sockets: Socket[] = [];
  const listener = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const connecting = connectGrpc(deps, {
    socket: () => connectTls({ port, host: "127.0.0.1", ALPNProtocols: ["h2"] }),
    authority: "localhost",
    userAgent: "hawser-test/1",
    elastic: true,
    connectTimeoutMs: 50,
  });
  await expect(connecting).rejects.toMatchObject({ code: GrpcCode.UNAVAILABLE });
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => listener.close(resolve));
});

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { Packet } from "../../shared/konnectivity/packet.ts";
import type { PairFiles } from "./certificates.ts";
import { RawSession, type RawStream } from "./raw-grpc.ts";
import type { Tunnel } from "./tunnel.ts";
import { within } from "./within.ts";

const patienceMs = 15_000;

/** What is needed to reach a frontend. */
export type Frontend = Pick<Tunnel, "server" | "workspace">;

export interface FrontendSocketOptions {
  /** Over TCP: what to present, the workspace's client certificate unless told otherwise. */
  readonly pair?: PairFiles | "none";
  /** Over TCP: what to offer by ALPN; nothing unless told. */
  readonly alpn?: readonly string[];
}

/** A socket to the tunnel's frontend, over TCP after the client's side of the handshake. */
export async function frontendSocket(tunnel: Frontend, options: FrontendSocketOptions = {}): Promise<Socket> {
  const { frontend } = tunnel.server;
  if (frontend.transport === "uds") {
    const socket = connect({ path: frontend.path, allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  }
  const { certificates } = tunnel.workspace;
  const { pair = certificates.client, alpn = [] } = options;
  // Node's documentation has allowHalfOpen for TLS clients, its types have not.
  const tlsOptions = {
    host: frontend.host,
    port: frontend.port,
    allowHalfOpen: true,
    ca: readFileSync(certificates.frontendCa),
    ALPNProtocols: [...alpn],
    ...(pair === "none" ? {} : { cert: readFileSync(pair.cert), key: readFileSync(pair.key) }),
  };
  const socket = connectTls(tlsOptions);
  await once(socket, "secureConnect");
  return socket;
}

/** A raw gRPC connection to the frontend. */
export async function frontendSession(tunnel: Frontend): Promise<RawSession> {
  return new RawSession(await frontendSocket(tunnel, { alpn: ["h2"] }));
}

let lastRandom = 0n;
/** A dial id that this test file has not used yet, above what a JavaScript number can hold. */
export function newRandom(): bigint {
  lastRandom += 1n;
  return (1n << 62n) + (BigInt(process.pid) << 32n) + lastRandom;
}

export const proxyPath = "/ProxyService/Proxy";

/** A dial on a Proxy stream of its own; rejects with the answer's error text. */
export async function dialGrpc(session: RawSession, address: string): Promise<GrpcConnection> {
  const stream = session.open(proxyPath);
  const random = newRandom();
  stream.send({ type: "DIAL_REQ", protocol: "tcp", address, random });
  const answer = await stream.next("DIAL_RSP");
  if (answer.random !== random) throw new Error(`dial ${random} got the answer to ${answer.random}`);
  if (answer.error !== "") throw new Error(answer.error);
  return new GrpcConnection(stream, answer.connectId);
}

/** A connection over gRPC as a Duplex. `end()` closes it fully, for its packets know no half-close. */
export class GrpcConnection extends Duplex {
  readonly stream: RawStream;
  readonly connectId: bigint;
  #reading = false;

  constructor(stream: RawStream, connectId: bigint) {
    super({ allowHalfOpen: true });
    // Whoever reads or writes meets the failure; where nobody does it is of no interest.
    this.on("error", () => {});
    this.stream = stream;
    this.connectId = connectId;
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.stream.packets.next().then(
      ({ value, done }) => {
        this.#reading = false;
        this.#received(done ? undefined : value);
      },
      (error) => this.destroy(error),
    );
  }

  #received(packet: Packet | undefined): void {
    if (packet?.type === "DATA" && packet.connectId === this.connectId) {
      if (this.push(packet.data)) this._read();
    } else if (packet?.type === "CLOSE_RSP" && packet.connectId === this.connectId) {
      if (packet.error === "") this.push(null);
      else this.destroy(new Error(packet.error));
    } else {
      this.destroy(new Error(`unexpected ${packet?.type ?? "end of the stream"}`));
    }
  }

  override _write(data: Buffer, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    this.stream.send({ type: "DATA", connectId: this.connectId, data });
    const sent = () => callback(this.stream.closed ? new Error("the stream has closed") : undefined);
    this.stream.drained().then(sent, callback);
  }

  override _final(callback: (error?: Error) => void): void {
    this.stream.send({ type: "CLOSE_REQ", connectId: this.connectId });
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.stream.cancel();
    callback(error);
  }
}

/** Sends a CONNECT request; rejects with the whole answer unless it is the 200. Bytes after the head are put back. */
export async function dialConnect(tunnel: Frontend, address: string): Promise<Socket> {
  const socket = await frontendSocket(tunnel, { alpn: ["http/1.1"] });
  socket.write(`CONNECT ${address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  const head = await readHead(socket);
  if (head === "HTTP/1.1 200 Connection Established\r\n\r\n") return socket;
  const body = await readAll(socket);
  socket.destroy();
  throw new Error(head + body);
}

/** Reads up to the first empty line, inclusive, and leaves the rest in the socket; or to the end, if that comes before. */
export async function readHead(socket: Socket): Promise<string> {
  let head = Buffer.alloc(0);
  for (;;) {
    const chunk = (await within(patienceMs, "the head of an answer", nextChunk(socket))) ?? undefined;
    if (chunk === undefined) return head.toString("latin1");
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) continue;
    if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
    return head.toString("latin1", 0, end + 4);
  }
}

/** Everything until the end of the socket, or until it breaks. */
export async function readAll(socket: Socket): Promise<string> {
  let text = "";
  for (;;) {
    const chunk = await within(patienceMs, `the end of an answer after ${JSON.stringify(text)}`, nextChunk(socket));
    if (chunk === undefined) return text;
    text += chunk.toString("latin1");
  }
}

/** What there is to read; undefined at the end, also at a broken one. Leaves no listener behind. */
async function nextChunk(socket: Duplex): Promise<Buffer | undefined> {
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (socket.readableEnded || socket.destroyed) return undefined;
    await new Promise<void>((resolve) => {
      const events = ["readable", "end", "close", "error"];
      const done = () => {
        for (const event of events) socket.off(event, done);
        resolve();
      };
      for (const event of events) socket.on(event, done);
    });
  }
}

/** Takes exactly so many bytes from a Duplex, or fewer if it ends before. */
export async function readBytes(duplex: Duplex, byteCount: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < byteCount) {
    const chunk = await within(patienceMs, `${byteCount} bytes, of which ${bytes.length} came`, nextChunk(duplex));
    if (chunk === undefined) break;
    bytes = Buffer.concat([bytes, chunk]);
  }
  if (bytes.length > byteCount) duplex.unshift(bytes.subarray(byteCount));
  return bytes.subarray(0, byteCount);
}

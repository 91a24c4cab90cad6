import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer, type Server as HttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { hostPort } from "../../shared/host-port.ts";
import { freePort } from "./ports.ts";
import { seededBytes } from "./seeded-bytes.ts";

export type LoopbackHost = "127.0.0.1" | "::1";

/** A TCP server in the endpoint's place. */
export class Endpoint {
  readonly host: string;
  readonly port: number;
  /** Connections accepted since the start. */
  acceptedCount = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    ({ address: this.host, port: this.port } = server.address() as AddressInfo);
    server.on("connection", (socket) => {
      this.acceptedCount += 1;
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  static async listen(server: Server | HttpServer | HttpsServer, host = "127.0.0.1"): Promise<Endpoint> {
    server.listen(0, host);
    await once(server, "listening");
    return new Endpoint(server);
  }

  /** "host:port" as a dial takes it, IPv6 in brackets. */
  get address(): string {
    return hostPort(this.host, this.port);
  }

  get openCount(): number {
    return this.#sockets.size;
  }

  /** Stops listening, drops what is open and resolves when all of it is gone. */
  async close(): Promise<void> {
    const closed: Promise<unknown>[] = [once(this.#server, "close")];
    this.#server.close();
    for (const socket of this.#sockets) {
      closed.push(new Promise((resolve) => socket.once("close", resolve)));
      socket.destroy();
    }
    await Promise.all(closed);
  }
}

/** Sends back what comes; ends its side when the other has ended. */
export function echoEndpoint(host?: string): Promise<Endpoint> {
  return serve((socket) => pipeline(socket, socket), host);
}

/** Sends seeded bytes at once and ends its side. The digest of what it sends is that of `digestOfSeeded`. */
export function sourceEndpoint(seed: number, byteCount: number, host?: LoopbackHost): Promise<Endpoint> {
  return serve((socket) => pipeline(Readable.from(seededBytes(seed, byteCount)), socket), host);
}

/** Reads an 8-byte big-endian length and that many bytes, then answers with their SHA-256 (32 bytes). */
export function sinkEndpoint(host?: LoopbackHost): Promise<Endpoint> {
  return serve(async (socket) => {
    socket.write(await digestAnnounced(socket));
    socket.resume();
  }, host);
}

/** Sends `banner` as soon as it is connected, and nothing more. */
export function bannerEndpoint(banner: Uint8Array, host?: LoopbackHost): Promise<Endpoint> {
  return serve(async (socket) => {
    socket.write(banner);
    socket.resume();
  }, host);
}

/** Accepts and never reads. */
export function neverReadingEndpoint(host?: LoopbackHost): Promise<Endpoint> {
  return serve(async (socket) => socket.pause(), host);
}

/** HTTP, or HTTPS if a certificate and a key in PEM are given. Answers 200 with `METHOD url` unless told otherwise. */
export function httpEndpoint(
  options: {
    readonly host?: LoopbackHost;
    readonly tls?: { readonly cert: string; readonly key: string };
    readonly answer?: RequestListener;
  } = {},
): Promise<Endpoint> {
  const { tls, answer = (request, response) => response.end(`${request.method} ${request.url}`) } = options;
  return Endpoint.listen(tls === undefined ? createHttpServer(answer) : createHttpsServer(tls, answer), options.host);
}

/** An address at which a connection is refused. */
export async function refusingAddress(): Promise<string> {
  return `127.0.0.1:${await freePort()}`;
}

/** A TCP endpoint that does `behaviour` with each connection; a connection whose behaviour rejects is dropped. */
export function serve(behaviour: (socket: Socket) => Promise<unknown>, host?: string): Promise<Endpoint> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    // What goes wrong here is seen, and judged, at the frontend's end.
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    behaviour(socket).catch(() => socket.destroy());
  });
  return Endpoint.listen(server, host);
}

async function digestAnnounced(socket: Socket): Promise<Buffer> {
  const hash = createHash("sha256");
  let head = Buffer.alloc(0);
  let left: bigint | undefined;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (left !== undefined) {
      left -= hashUpTo(hash, chunk, left);
    } else {
      head = Buffer.concat([head, chunk]);
      if (head.length < 8) continue;
      const announced = head.readBigUInt64BE();
      left = announced - hashUpTo(hash, head.subarray(8), announced);
    }
    if (left === 0n) return hash.digest();
  }
  throw new Error("the connection ended before the announced bytes came");
}

function hashUpTo(hash: Hash, chunk: Buffer, limit: bigint): bigint {
  const taken = chunk.subarray(0, Number(limit < BigInt(chunk.length) ? limit : BigInt(chunk.length)));
  hash.update(taken);
  return BigInt(taken.length);
}

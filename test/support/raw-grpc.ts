import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Socket } from "node:net";
import { Transform, type TransformCallback } from "node:stream";
import { MessageParser, prefixBytes, writePrefix } from "../../shared/grpc/framing.ts";
import {
  decodePacket,
  encodePacket,
  type KnownPacket,
  type Packet,
  type PacketType,
} from "../../shared/konnectivity/packet.ts";
import { within } from "./within.ts";

const patienceMs = 15_000;

/** How a stream ended: gRPC's status if one came, and the code of the reset, 0 if there was none. */
export interface StreamEnd {
  readonly status: number | undefined;
  readonly message: string;
  readonly resetCode: number;
}

/** An HTTP/2 connection of a peer that does only what a test tells it, also what no well-behaved one does. */
export class RawSession {
  readonly socket: Socket;
  readonly #http2: ClientHttp2Session;
  readonly #closed: Promise<unknown>;

  /** Takes over a connected socket, TLS or not. */
  constructor(socket: Socket) {
    this.socket = socket;
    this.#http2 = connect("http://127.0.0.1", { createConnection: () => socket });
    // What breaks a connection is seen at its streams.
    this.#http2.on("error", () => {});
    this.#closed = new Promise((resolve) => this.#http2.once("close", resolve));
  }

  get closed(): Promise<unknown> {
    return within(patienceMs, "the end of the HTTP/2 connection", this.#closed);
  }

  open(path: string, headers: OutgoingHttpHeaders = {}): RawStream {
    return new RawStream(
      this.#http2.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      }),
    );
  }

  /** Drops the connection, as a peer that dies. */
  async close(): Promise<void> {
    this.#http2.destroy();
    this.socket.destroy();
    await this.#closed;
  }
}

/** One gRPC call of a raw session, with packets read and written one by one. */
export class RawStream {
  readonly headers: Promise<IncomingHttpHeaders>;
  /** The packets as they come, without a limit on the wait. */
  readonly packets: AsyncIterator<Packet>;
  readonly #stream: ClientHttp2Stream;
  readonly #ended: Promise<StreamEnd>;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    const reader = new PacketReader();
    this.packets = reader.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
    let last: IncomingHttpHeaders = {};
    stream.on("trailers", (trailers) => {
      last = trailers;
    });
    this.headers = once(stream, "response").then(([headers]) => {
      last = { ...headers, ...last };
      return headers;
    });
    this.headers.catch(() => {});
    stream.on("error", () => {});
    stream.pipe(reader);
    this.#ended = new Promise((resolve) => stream.once("close", resolve)).then(() => {
      reader.end();
      const status = last["grpc-status"];
      const message = decodeURIComponent(String(last["grpc-message"] ?? ""));
      return { status: status === undefined ? undefined : Number(status), message, resetCode: stream.rstCode ?? 0 };
    });
  }

  get closed(): boolean {
    return this.#stream.destroyed;
  }

  /** How the stream ended. What has arrived and is not taken must be taken first, since it holds up the end behind it. */
  get ended(): Promise<StreamEnd> {
    return within(patienceMs, "the end of the stream", this.#ended);
  }

  /** The oldest packet that has not been taken; undefined when the stream has ended. */
  async take(what = "a packet"): Promise<Packet | undefined> {
    const { value, done } = await within(patienceMs, what, this.packets.next());
    return done ? undefined : value;
  }

  /** Takes the next packet, which has to be of this type. */
  async next<T extends PacketType>(type: T): Promise<Extract<KnownPacket, { type: T }>> {
    const packet = await this.take(type);
    if (packet?.type === type) return packet as Extract<KnownPacket, { type: T }>;
    const found =
      packet === undefined ? `the stream's end ${JSON.stringify(await this.ended)}` : describePacket(packet);
    throw new Error(`expected ${type}, got ${found}`);
  }

  /** Takes all that comes until the stream ends. */
  async rest(): Promise<Packet[]> {
    const packets: Packet[] = [];
    for (;;) {
      const packet = await this.take("the end of the stream");
      if (packet === undefined) return packets;
      packets.push(packet);
    }
  }

  /** Returns whether there is room for more; `drained` waits for it. */
  send(packet: KnownPacket): boolean {
    return this.sendMessage(...encodePacket(packet));
  }

  /** Frames the pieces as one message, whatever is in them. */
  sendMessage(...pieces: readonly Uint8Array[]): boolean {
    return this.sendBytes(framed(...pieces));
  }

  /** Writes bytes into the call without framing them. */
  sendBytes(bytes: Uint8Array): boolean {
    return !this.closed && this.#stream.write(bytes);
  }

  /** Resolves when what was sent has gone out, or the stream has closed. */
  async drained(): Promise<void> {
    if (!this.#stream.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#stream.off("drain", done).off("close", done);
        resolve();
      };
      this.#stream.on("drain", done).on("close", done);
    });
  }

  /** Half-closes, and resolves to what else comes until the peer ends the stream as well. */
  async finish(): Promise<Packet[]> {
    this.#stream.end();
    return this.rest();
  }

  /** RST_STREAM with CANCEL, as Go's client ends a tunnel. */
  cancel(): void {
    this.#stream.close(8);
  }
}

/** One message with its gRPC prefix. */
export function framed(...pieces: readonly Uint8Array[]): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  writePrefix(
    prefix,
    0,
    pieces.reduce((length, piece) => length + piece.length, 0),
  );
  return Buffer.concat([prefix, ...pieces]);
}

/** Turns the bytes of a call into packets, and holds up the call while nobody takes them. */
class PacketReader extends Transform {
  readonly #parser = new MessageParser();

  constructor() {
    super({ readableObjectMode: true, readableHighWaterMark: 16 });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#parser.push(chunk);
    for (let message = this.#parser.next(); message !== undefined; message = this.#parser.next()) {
      this.push(decodePacket(message));
    }
    callback();
  }
}

function describePacket(packet: Packet): string {
  return JSON.stringify(packet, (_key, value) => (typeof value === "bigint" ? `${value}` : value)).slice(0, 500);
}

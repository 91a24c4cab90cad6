import type { Socket } from "node:net";

/** A client that writes HTTP/2 frames by hand, to do what Node's own refuses to: it heeds no SETTINGS and no window. */
const frameType = { headers: 1, settings: 4 } as const;
const [endHeaders, ack] = [0x4, 0x1];

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK without its table: a literal field, never indexed, nothing Huffman-coded. */
function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length > 126) throw new Error("longer strings are not needed here");
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

export const clientPreface = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(frameType.settings, 0, 0, Buffer.alloc(0)),
]);
export const settingsAck = frame(frameType.settings, ack, 0, Buffer.alloc(0));

export function requestFrame(streamId: number, path: string, headers: Readonly<Record<string, string>>): Buffer {
  const block = headerBlock({
    ":method": "POST",
    ":scheme": "https",
    ":authority": "127.0.0.1",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  return frame(frameType.headers, endHeaders, streamId, block);
}

/** Counts frames by type as they come, and keeps what DATA carries. */
export class FrameReader {
  readonly counts = new Map<number, number>();
  data = Buffer.alloc(0);
  #rest = Buffer.alloc(0);

  constructor(socket: Socket, onFrame: (type: number, streamId: number, flags: number) => void = () => {}) {
    socket.on("data", (chunk: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      for (;;) {
        const length = this.#rest.length >= 9 ? 9 + this.#rest.readUIntBE(0, 3) : Number.POSITIVE_INFINITY;
        if (this.#rest.length < length) return;
        const type = this.#rest[3] ?? 0;
        if (type === 0) this.data = Buffer.concat([this.data, this.#rest.subarray(9, length)]);
        this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
        const flags = this.#rest[4] ?? 0;
        const streamId = this.#rest.readUInt32BE(5);
        this.#rest = this.#rest.subarray(length);
        onFrame(type, streamId, flags);
      }
    });
  }
}

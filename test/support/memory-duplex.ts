import { Duplex } from "node:stream";

/**
 * Two Duplexes joined in memory, which behave as the two ends of a TCP connection: `end()` is a FIN, `destroy()` a close, and
 * `destroy(error)` a reset. A write is finished once the other end has room, so that backpressure goes through.
 */
export function memoryPair(options: { readonly highWaterMark?: number } = {}): readonly [MemoryDuplex, MemoryDuplex] {
  const one = new MemoryDuplex(options.highWaterMark ?? 1024);
  const other = new MemoryDuplex(options.highWaterMark ?? 1024);
  one.joinTo(other);
  other.joinTo(one);
  return [one, other];
}

export class MemoryDuplex extends Duplex {
  /** The error that ended this end, if one did. */
  failure: NodeJS.ErrnoException | undefined;
  #other: MemoryDuplex | undefined;
  /** The writer at the other end that waits for room here. */
  #accepted: (() => void) | undefined;

  constructor(highWaterMark: number) {
    super({ allowHalfOpen: true, highWaterMark });
    this.on("error", (error: NodeJS.ErrnoException) => {
      this.failure = error;
    });
  }

  joinTo(other: MemoryDuplex): void {
    this.#other = other;
  }

  override _read(): void {
    const accepted = this.#accepted;
    this.#accepted = undefined;
    accepted?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#other?.arrive(chunk, callback);
  }

  override _final(callback: () => void): void {
    this.#other?.arriveEnd();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (error !== null) this.#other?.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
    else if (!this.writableFinished) this.#other?.arriveEnd();
    callback(error);
  }

  private arrive(chunk: Buffer, accepted: () => void): void {
    if (this.destroyed || this.push(chunk)) accepted();
    else this.#accepted = accepted;
  }

  /** As a socket does, it tells of its end unasked if nothing waits to be read before it. */
  private arriveEnd(): void {
    this.push(null);
    this.read(0);
  }
}

/** What one end gets, as it comes. */
export interface Received {
  readonly bytes: Buffer;
  readonly ended: boolean;
}

/** Reads `duplex` from here on. */
export function receive(duplex: Duplex): Received {
  const chunks: Buffer[] = [];
  let ended = false;
  duplex
    .on("data", (chunk: Buffer) => chunks.push(chunk))
    .on("end", () => {
      ended = true;
    });
  return {
    get bytes() {
      return Buffer.concat(chunks);
    },
    get ended() {
      return ended;
    },
  };
}

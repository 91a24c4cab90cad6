import { Duplex } from "node:stream";
import { type ErrorCode, ProxyError } from "../errors.ts";
import type { Holding } from "../stream/byte-budget.ts";

/** Longest piece of data that is sent at once, so that a Carry message stays well below its limit. */
const dataMaxBytes = 64 * 1024;
/** Small ones are copied out of the read buffer that they would otherwise keep alive while they wait. */
const copyBelowBytes = 4096;
const writableMarkBytes = 64 * 1024;

/** What a lane does for the connection that it carries. All of it does nothing once the turn is over. */
export interface LaneCarrier {
  /** What waits in the lane, in bytes. */
  heldBytes(): number;
  /** Returns false when the next piece should wait for `drained`. */
  send(data: Buffer): boolean;
  end(): void;
  reset(code: ErrorCode): void;
  pause(): void;
  resume(): void;
}

/**
 * One connection on a lane, as a Duplex: `end()` is a half-close, `destroy(error)` a reset that the other end hears of, and
 * what is not read holds up the sender by HTTP/2's window of this stream, and nobody else.
 */
export class LaneDuplex extends Duplex implements Holding {
  readonly queuedBytes = 0;
  readonly #carrier: LaneCarrier;
  /** The write under way. */
  #rest: Buffer | undefined;
  #written: ((error?: Error | null) => void) | undefined;
  #blocked = false;

  constructor(carrier: LaneCarrier) {
    super({ allowHalfOpen: true, writableHighWaterMark: writableMarkBytes });
    this.#carrier = carrier;
    // The lane may be lost before anybody has joined this end to another; that error is theirs to see, not the process's.
    this.on("error", () => {});
  }

  get streamBytes(): number {
    return this.#carrier.heldBytes();
  }

  /** Takes what came from the other end. */
  deliver(data: Buffer): void {
    if (this.destroyed || data.length === 0) return;
    const chunk = data.length < copyBelowBytes && !this.readableFlowing ? Buffer.from(data) : data;
    if (!this.push(chunk)) this.#carrier.pause();
  }

  /** The other end sends no more. */
  deliverEnd(): void {
    this.push(null);
  }

  /** The lane takes more. */
  drained(): void {
    this.#blocked = false;
    this.#sendRest();
  }

  override _read(): void {
    this.#carrier.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#rest = chunk;
    this.#written = callback;
    this.#sendRest();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#carrier.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#rest = undefined;
    this.#written = undefined;
    this.#carrier.reset(error instanceof ProxyError ? error.code : "cancelled");
    callback(error);
  }

  #sendRest(): void {
    while (this.#rest !== undefined && !this.#blocked) {
      const data = this.#rest.subarray(0, dataMaxBytes);
      this.#rest = data.length < this.#rest.length ? this.#rest.subarray(data.length) : undefined;
      this.#blocked = !this.#carrier.send(data);
    }
    if (this.#rest !== undefined || this.#blocked) return;
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }
}

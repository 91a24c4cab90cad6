import { prefixBytes, writePrefix } from "./framing.ts";

/** Pieces from this size on are passed on as they are; copying a smaller one costs less than a write of its own. */
const copyBelowBytes = 1024;

const blockBytes = 16 * 1024;

/**
 * Space for prefixes and small pieces, shared by the streams of many sessions, so that an idle one holds none.
 * Bytes given out are never given out again; a block lives as long as a write that refers to it.
 */
export class SendArena {
  block = Buffer.allocUnsafeSlow(blockBytes);
  used = 0;
}

/** Messages that wait to be written: framed, small pieces joined, large ones in between as they came. */
export class SendQueue {
  readonly #arena: SendArena;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** The arena range that is still growing; empty if start equals end. */
  #block: Buffer;
  #start = 0;
  #end = 0;

  constructor(arena: SendArena) {
    this.#arena = arena;
    this.#block = arena.block;
  }

  /** Framed bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends one message. Pieces of 1 KiB and more are referred to, not copied. */
  add(pieces: readonly Uint8Array[]): void {
    let length = 0;
    for (const piece of pieces) length += piece.length;
    const at = this.#reserve(prefixBytes);
    writePrefix(this.#block, at, length);
    for (const piece of pieces) {
      if (piece.length >= copyBelowBytes) {
        this.#closeRange();
        this.#chunks.push(Buffer.isBuffer(piece) ? piece : Buffer.from(piece.buffer, piece.byteOffset, piece.length));
      } else if (piece.length > 0) {
        const offset = this.#reserve(piece.length);
        this.#block.set(piece, offset);
      }
    }
    this.#bytes += prefixBytes + length;
  }

  /** Takes everything that waits, in order. */
  take(): Buffer[] {
    this.#closeRange();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#bytes = 0;
    return chunks;
  }

  /** Makes the growing range longer by `length` and returns where the new part starts in `#block`. */
  #reserve(length: number): number {
    const arena = this.#arena;
    const fits = arena.used + length <= arena.block.length;
    const follows = this.#block === arena.block && this.#end === arena.used;
    if (!fits || !follows) {
      this.#closeRange();
      if (!fits) {
        arena.block = Buffer.allocUnsafeSlow(blockBytes);
        arena.used = 0;
      }
      this.#block = arena.block;
      this.#start = arena.used;
      this.#end = arena.used;
    }
    const at = this.#end;
    this.#end += length;
    arena.used = this.#end;
    return at;
  }

  #closeRange(): void {
    if (this.#end > this.#start) this.#chunks.push(this.#block.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}

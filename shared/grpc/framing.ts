import { GrpcCode, GrpcError } from "./status.ts";

/** One byte of flags and four bytes of length before every message. Source: gRPC, doc/PROTOCOL-HTTP2.md. */
export const prefixBytes = 5;

/** The largest message that is taken from a peer; the reference has the same limit everywhere. */
export const messageMaxBytes = 4 * 1024 * 1024;

/** Space made for a message whose rest has not come; it grows with what comes, so a bare prefix cannot claim 4 MiB. */
const assemblyMinBytes = 16 * 1024;

const emptyBuffer = Buffer.alloc(0);

/** Writes the prefix of an uncompressed message of `length` bytes at `offset`. */
export function writePrefix(target: Buffer, offset: number, length: number): void {
  target[offset] = 0;
  target.writeUInt32BE(length, offset + 1);
}

/**
 * Says of a message of which only `start` has come whether it may be given out in pieces, without being put together first:
 * how many bytes at its start belong to no piece, all of which are in `start`; 0 if it is to be whole.
 */
export type BulkHead = (start: Buffer, messageBytes: number) => number;

export interface ParserOptions {
  /** Of the longest message that is taken; asked for each message, at its prefix. */
  readonly maxBytes?: () => number;
  readonly headOf?: BulkHead;
}

/**
 * Cuts a byte stream into messages. `push` a chunk, then take messages with `next` until it returns undefined; the
 * caller may stop in between, and pushes no further chunk until then unless it must.
 * A message that lies in one chunk is a view of that chunk; another is copied once into a buffer of its own.
 */
export class MessageParser {
  readonly #maxBytes: () => number;
  /** The unread rest of what was pushed. */
  #chunk: Buffer = emptyBuffer;
  #at = 0;
  readonly #later: Buffer[] = [];
  /** A prefix that chunks cut apart. */
  readonly #prefix = Buffer.allocUnsafe(prefixBytes);
  #prefixHave = 0;
  /** The message whose prefix has been read, and which did not lie in one chunk. */
  #assembly: Buffer | undefined;
  #assemblyNeed = 0;
  #assemblyHave = 0;
  readonly #headOf: BulkHead;
  /** What is still to come of a message that is given out in pieces. */
  #bulkLeft = 0;
  #isBulk = false;

  constructor({ maxBytes = () => messageMaxBytes, headOf = () => 0 }: ParserOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#headOf = headOf;
  }

  /** Whether what `next` returned last is a piece of a message's bulk, and not a message. */
  get isBulk(): boolean {
    return this.#isBulk;
  }

  push(chunk: Buffer): void {
    if (this.#at < this.#chunk.length) {
      this.#later.push(chunk);
      return;
    }
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next whole message, or undefined if more bytes are needed.
   * Throws GrpcError for a message over the limit (RESOURCE_EXHAUSTED) or a compressed one (UNIMPLEMENTED); the parser
   * is of no use after that.
   */
  next(): Buffer | undefined {
    for (;;) {
      const message = this.#nextInChunk();
      if (message !== undefined) return message;
      const chunk = this.#later.shift();
      this.#chunk = chunk ?? emptyBuffer;
      this.#at = 0;
      if (chunk === undefined) return undefined;
    }
  }

  /** Pushed and not yet taken, without what `unfinishedBytes` counts. */
  get waitingBytes(): number {
    let bytes = this.#chunk.length - this.#at;
    for (const { length } of this.#later) bytes += length;
    return bytes;
  }

  /** Of a message whose rest has not come. */
  get unfinishedBytes(): number {
    return this.#assembly === undefined ? 0 : this.#assemblyHave;
  }

  /** No more bytes come. Call it once `next` has returned undefined. Throws GrpcError INTERNAL inside a message. */
  end(): void {
    if (this.#prefixHave > 0 || this.#assembly !== undefined || this.#bulkLeft > 0) {
      throw new GrpcError(GrpcCode.INTERNAL, "the stream ended inside a message");
    }
  }

  /** Reads on in the current chunk; undefined once it is used up. */
  #nextInChunk(): Buffer | undefined {
    if (this.#assembly !== undefined) return this.#assemble(this.#assembly);
    if (this.#bulkLeft > 0) return this.#nextPiece();
    this.#isBulk = false;
    const chunk = this.#chunk;
    const start = this.#at;
    let length: number;
    if (this.#prefixHave === 0 && chunk.length - start >= prefixBytes) {
      length = checkedLength(chunk, start, this.#maxBytes());
      this.#at = start + prefixBytes;
    } else {
      const taken = chunk.copy(this.#prefix, this.#prefixHave, start, start + prefixBytes - this.#prefixHave);
      this.#at = start + taken;
      this.#prefixHave += taken;
      if (this.#prefixHave < prefixBytes) return undefined;
      this.#prefixHave = 0;
      length = checkedLength(this.#prefix, 0, this.#maxBytes());
    }
    const end = this.#at + length;
    if (end <= chunk.length) {
      const message = chunk.subarray(this.#at, end);
      this.#at = end;
      return message;
    }
    const headBytes = this.#headOf(chunk.subarray(this.#at), length);
    if (headBytes > 0) {
      this.#at += headBytes;
      this.#bulkLeft = length - headBytes;
      return this.#nextPiece();
    }
    this.#assemblyNeed = length;
    this.#assemblyHave = 0;
    this.#assembly = Buffer.allocUnsafe(Math.min(length, Math.max(assemblyMinBytes, 2 * (chunk.length - this.#at))));
    return this.#assemble(this.#assembly);
  }

  #nextPiece(): Buffer | undefined {
    const piece = this.#chunk.subarray(this.#at, this.#at + this.#bulkLeft);
    if (piece.length === 0) return undefined;
    this.#isBulk = true;
    this.#at += piece.length;
    this.#bulkLeft -= piece.length;
    return piece;
  }

  #assemble(assembly: Buffer): Buffer | undefined {
    const need = this.#assemblyNeed;
    const have = this.#assemblyHave;
    const taking = Math.min(need - have, this.#chunk.length - this.#at);
    let target = assembly;
    if (have + taking > target.length) {
      target = Buffer.allocUnsafe(Math.min(need, 4 * (have + taking)));
      assembly.copy(target, 0, 0, have);
      this.#assembly = target;
    }
    this.#chunk.copy(target, have, this.#at, this.#at + taking);
    this.#at += taking;
    this.#assemblyHave = have + taking;
    if (this.#assemblyHave < need) return undefined;
    this.#assembly = undefined;
    return target.length === need ? target : target.subarray(0, need);
  }
}

function checkedLength(bytes: Buffer, offset: number, maxBytes: number): number {
  const flags = bytes[offset];
  if (flags !== 0) {
    if (flags === 1) throw new GrpcError(GrpcCode.UNIMPLEMENTED, "compressed messages are not supported");
    throw new GrpcError(GrpcCode.INTERNAL, `a message has unknown flags ${flags}`);
  }
  const length = bytes.readUInt32BE(offset + 1);
  if (length > maxBytes) {
    const message = `grpc: received message larger than max (${length} vs. ${maxBytes})`;
    throw new GrpcError(GrpcCode.RESOURCE_EXHAUSTED, message);
  }
  return length;
}

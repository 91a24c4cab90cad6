import { isUtf8 } from "node:buffer";
import { ProxyError } from "../errors.ts";

/** A message that breaks the wire's rules. Its message names the rule and never quotes the peer's bytes. */
export class WireError extends ProxyError {
  constructor(message: string) {
    super("protocol", message);
  }
}

/** Protobuf's wire types that occur here. Source: protobuf, "Encoding", message structure. */
export const WireType = { VARINT: 0, FIXED64: 1, BYTES: 2, FIXED32: 5 } as const;

/** Takes a number of 64 bits apart, and puts it together, without a BigInt for each step. */
const halves = new DataView(new ArrayBuffer(8));

/**
 * Reads protobuf fields from one message. It copies nothing and never reads past `end`.
 * A varint is kept as two unsigned halves of 32 bits, since most of them fit into the lower one and need no BigInt then.
 * Every method throws WireError, and nothing else, on bytes that break the wire's rules.
 */
export class WireReader {
  position = 0;
  /** Where the message ends that is being read: the outer one, or the inner one between `enter` and `leave`. */
  end: number;
  /** The field whose tag `nextField` read last. */
  field = 0;
  readonly #bytes: Buffer;
  #wireType = 0;
  #low = 0;
  #high = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.end = bytes.length;
  }

  /** Reads the next tag into `field`. False at the end of the message. */
  nextField(): boolean {
    if (this.position === this.end) return false;
    this.#varint();
    this.field = this.#low >>> 3;
    this.#wireType = this.#low & 7;
    if (this.#high !== 0 || this.field === 0) throw new WireError("message has an invalid field number");
    return true;
  }

  /** An enum's number: the lower 32 bits with their sign, as protobuf cuts longer ones. */
  enumNumber(): number {
    this.#expect(WireType.VARINT);
    this.#varint();
    return this.#low | 0;
  }

  /** Any uint32; protobuf cuts longer numbers to their lower 32 bits. */
  uint32(): number {
    this.#expect(WireType.VARINT);
    this.#varint();
    return this.#low >>> 0;
  }

  /** An int64 of either sign; the wire carries its two's complement. */
  int64(): bigint {
    this.#expect(WireType.VARINT);
    this.#varint();
    halves.setUint32(0, this.#high);
    halves.setUint32(4, this.#low);
    return halves.getBigInt64(0);
  }

  /** A view of the field's bytes, not a copy. */
  bytes(): Buffer {
    const start = this.#skipLength();
    return this.#bytes.subarray(start, this.position);
  }

  /** A string of at most `maxBytes` bytes of valid UTF-8. */
  string(maxBytes: number): string {
    const start = this.#skipLength();
    const length = this.position - start;
    if (length > maxBytes) throw new WireError(`message has a string of ${length} bytes where ${maxBytes} are allowed`);
    // Without a view for the usual short ASCII, which a flood of tiny fields would otherwise allocate by the million.
    for (let index = start; index < this.position; index++) {
      if ((this.#bytes[index] ?? 0) < 0x80) continue;
      if (!isUtf8(this.#bytes.subarray(start, this.position))) throw new WireError("message has invalid UTF-8");
      return this.#bytes.toString("utf8", start, this.position);
    }
    return this.#bytes.toString("latin1", start, this.position);
  }

  /** Goes into the message inside the current field. Returns the outer end, for `leave`. */
  enter(): number {
    const start = this.#skipLength();
    const outer = this.end;
    this.end = this.position;
    this.position = start;
    return outer;
  }

  leave(outer: number): void {
    this.end = outer;
  }

  /** Passes over a field that is not known here. Groups, which proto3 has not, are refused. */
  skip(): void {
    switch (this.#wireType) {
      case WireType.VARINT:
        this.#varint();
        return;
      case WireType.FIXED64:
        this.#advance(8);
        return;
      case WireType.BYTES:
        this.#skipLength();
        return;
      case WireType.FIXED32:
        this.#advance(4);
        return;
      default:
        throw new WireError(`message has a field of wire type ${this.#wireType}`);
    }
  }

  #expect(wireType: number): void {
    if (this.#wireType === wireType) return;
    throw new WireError(`message has field ${this.field} as wire type ${this.#wireType} instead of ${wireType}`);
  }

  #advance(count: number): void {
    if (count > this.end - this.position) throw new WireError("message is cut short");
    this.position += count;
  }

  /** Reads a length and passes over as many bytes. Returns where they start. */
  #skipLength(): number {
    this.#expect(WireType.BYTES);
    this.#varint();
    const start = this.position;
    this.#advance(this.#high === 0 ? this.#low : Number.POSITIVE_INFINITY);
    return start;
  }

  #byte(): number {
    if (this.position === this.end) throw new WireError("message is cut short");
    return this.#bytes[this.position++] ?? 0;
  }

  #varint(): void {
    this.#high = 0;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#low = low;
        return;
      }
    }
    // The fifth byte's lower four bits end the low half; its other three begin the high one.
    let byte = this.#byte();
    this.#low = (low | (byte << 28)) >>> 0;
    let high = (byte & 0x7f) >>> 4;
    for (let shift = 3; byte >= 0x80; shift += 7) {
      byte = this.#byte();
      // Ten bytes hold 70 bits: of the tenth (shift 31) only the lowest one belongs to the number.
      if (shift === 31 && byte > 1) throw new WireError("message has a number of more than 64 bits");
      high |= (byte & 0x7f) << shift;
    }
    this.#high = high >>> 0;
  }
}

/** Bytes that `value`, a whole number from 0 to 2^32 - 1, takes as a varint. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

/** Bytes that `value` takes as an int64; ten if it is negative. Throws WireError if it does not fit into 64 bits. */
export function int64Size(value: bigint): number {
  halves.setBigInt64(0, value);
  if (halves.getBigInt64(0) !== value) throw new WireError("message has a number of more than 64 bits");
  const high = halves.getUint32(0);
  return high === 0 ? varintSize(halves.getUint32(4)) : Math.ceil((64 - Math.clz32(high)) / 7);
}

/** Writes protobuf fields into a buffer of exactly the size that the caller worked out. Field numbers are below 16. */
export class WireWriter {
  readonly buffer: Buffer;
  #position = 0;

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafe(size);
  }

  /** An enum's number or a uint32. */
  number(field: number, value: number): void {
    this.#tag(field, WireType.VARINT);
    this.#varint(value);
  }

  int64(field: number, value: bigint): void {
    this.#tag(field, WireType.VARINT);
    halves.setBigInt64(0, value);
    let low = halves.getUint32(4);
    let high = halves.getUint32(0);
    while (high !== 0) {
      this.#byte((low & 0x7f) | 0x80);
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#varint(low);
  }

  /** The head of a field whose `length` bytes follow: a message, or bytes that are sent as a piece of their own. */
  lengthOf(field: number, length: number): void {
    this.#tag(field, WireType.BYTES);
    this.#varint(length);
  }

  bytes(field: number, value: Uint8Array): void {
    this.lengthOf(field, value.length);
    this.buffer.set(value, this.#position);
    this.#position += value.length;
  }

  string(field: number, value: string): void {
    this.lengthOf(field, Buffer.byteLength(value));
    this.#position += this.buffer.write(value, this.#position, "utf8");
  }

  #tag(field: number, wireType: number): void {
    this.#byte((field << 3) | wireType);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) this.#byte((rest & 0x7f) | 0x80);
    this.#byte(rest);
  }

  #byte(byte: number): void {
    this.buffer[this.#position++] = byte;
  }
}

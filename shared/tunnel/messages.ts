import { cleanErrorText } from "../konnectivity/dial-error-text.ts";
import { int64Size, varintSize, WireError, WireReader, WireType, WireWriter } from "../protobuf/wire.ts";

/** A message of a lane. `turn` is a uint32. Source: proto/tunnel.proto. */
export type LaneMessage =
  | {
      readonly type: "dial";
      readonly turn: number;
      readonly dialId: bigint;
      readonly address: string;
      readonly remainingMs: number;
      readonly protocol: string;
    }
  | { readonly type: "dialed"; readonly turn: number; readonly reached: string }
  | { readonly type: "refused"; readonly turn: number; readonly code: string; readonly text: string }
  | { readonly type: "data"; readonly data: Buffer }
  | { readonly type: "end"; readonly turn: number }
  | { readonly type: "reset"; readonly turn: number; readonly code: string };

/** A message of a link. */
export type LinkMessage =
  | { readonly type: "welcome"; readonly token: Buffer }
  | { readonly type: "lanesWanted"; readonly count: number }
  | { readonly type: "ping"; readonly number: number }
  | { readonly type: "pong"; readonly number: number }
  | { readonly type: "draining" };

/** What a later version may send: it is passed over. */
export interface UnknownMessage {
  readonly type: "unknown";
}

/** Of the longest Carry message that is taken; a longer one ends the lane. */
export const laneMessageMaxBytes = 128 * 1024;
/** Of the longest Link message that is taken; a longer one ends the link. */
export const linkMessageMaxBytes = 16 * 1024;

const codeMaxBytes = 64;
const protocolMaxBytes = 32;
const addressMaxBytes = 1024;
const textMaxBytes = 4096;
const tokenMaxBytes = 64;

type Value = number | bigint | string | Buffer;
type Kind = "uint32" | "uint64" | "bytes" | { readonly maxBytes: number };

interface Field {
  readonly name: string;
  readonly number: number;
  readonly kind: Kind;
}

/** One member of a message's oneof, and its own fields. */
interface Layout {
  readonly type: string;
  readonly member: number;
  readonly fields: readonly Field[];
  /** What a message without any field on the wire is. */
  readonly empty: Readonly<Record<string, Value>>;
}

/** All messages of one stream, by their member's number and by their type. */
interface Layouts {
  readonly byMember: readonly (Layout | undefined)[];
  readonly byType: ReadonlyMap<string, Layout>;
}

const turn = { name: "turn", number: 1, kind: "uint32" } as const;
const code = { name: "code", number: 2, kind: { maxBytes: codeMaxBytes } } as const;

const laneLayouts = layoutsOf({
  dial: [
    1,
    [
      turn,
      { name: "dialId", number: 2, kind: "uint64" },
      { name: "address", number: 3, kind: { maxBytes: addressMaxBytes } },
      { name: "remainingMs", number: 4, kind: "uint32" },
      { name: "protocol", number: 5, kind: { maxBytes: protocolMaxBytes } },
    ],
  ],
  dialed: [2, [turn, { name: "reached", number: 2, kind: { maxBytes: addressMaxBytes } }]],
  refused: [3, [turn, code, { name: "text", number: 3, kind: { maxBytes: textMaxBytes } }]],
  end: [5, [turn]],
  reset: [6, [turn, code]],
});

/** Data alone is bytes without a message around them, for it comes most often. */
const dataMember = 4;

const linkLayouts = layoutsOf({
  welcome: [1, [{ name: "token", number: 1, kind: "bytes" }]],
  lanesWanted: [2, [{ name: "count", number: 1, kind: "uint32" }]],
  ping: [3, [{ name: "number", number: 1, kind: "uint32" }]],
  pong: [4, [{ name: "number", number: 1, kind: "uint32" }]],
  draining: [5, []],
});

function layoutsOf(messages: Readonly<Record<string, readonly [member: number, fields: readonly Field[]]>>): Layouts {
  const byMember: Layout[] = [];
  const byType = new Map<string, Layout>();
  for (const [type, [member, fields]] of Object.entries(messages)) {
    const empty = Object.fromEntries(fields.map(({ name, kind }) => [name, emptyOf(kind)]));
    const layout = { type, member, fields, empty };
    byMember[member] = layout;
    byType.set(type, layout);
  }
  return { byMember, byType };
}

/**
 * `data` is a view into `message`. Of several members the last one counts. Throws WireError for broken protobuf, a field of
 * another type than its own, or a string over its limit.
 */
export function decodeLaneMessage(message: Buffer): LaneMessage | UnknownMessage {
  return decode<LaneMessage>(message, laneLayouts, dataMember);
}

/**
 * For `GrpcReceiver.bulkHead`: of a data message without anything else in it, the bytes before the data; of any other, 0.
 * One over the limit is not taken in pieces either, so that it is refused as a whole.
 */
export function dataHeadBytes(start: Buffer, messageBytes: number): number {
  if (start[0] !== ((dataMember << 3) | WireType.BYTES) || messageBytes > laneMessageMaxBytes) return 0;
  let length = 0;
  for (let at = 1; at <= 3 && at < start.length; at++) {
    const byte = start[at] ?? 0;
    length |= (byte & 0x7f) << (7 * (at - 1));
    if (byte < 0x80) return length === messageBytes - at - 1 ? at + 1 : 0;
  }
  return 0;
}

/** Throws as `decodeLaneMessage` does. */
export function decodeLinkMessage(message: Buffer): LinkMessage | UnknownMessage {
  return decode<LinkMessage>(message, linkLayouts);
}

/** The pieces of one message, for `GrpcStream.send`; the bytes of `data` are not copied. Throws WireError for a string over its limit. */
export function encodeLaneMessage(message: LaneMessage): readonly Uint8Array[] {
  return message.type === "data" ? [dataHead(message.data.length), message.data] : [encode(message, laneLayouts)];
}

/** What stands before the `length` bytes of a data message. */
export function dataHead(length: number): Buffer {
  const head = new WireWriter(1 + varintSize(length));
  head.lengthOf(dataMember, length);
  return head.buffer;
}

export function encodeLinkMessage(message: LinkMessage): readonly Uint8Array[] {
  return [encode(message, linkLayouts)];
}

function decode<Message extends { readonly type: string }>(
  bytes: Buffer,
  layouts: Layouts,
  plainMember?: number,
): Message | UnknownMessage {
  const reader = new WireReader(bytes);
  let found: unknown = { type: "unknown" };
  while (reader.nextField()) {
    if (reader.field === plainMember) {
      found = { type: "data", data: reader.bytes() };
      continue;
    }
    const layout = layouts.byMember[reader.field];
    if (layout === undefined) {
      reader.skip();
      continue;
    }
    const outer = reader.enter();
    found = readMessage(reader, layout);
    reader.leave(outer);
  }
  return found as Message | UnknownMessage;
}

function readMessage(reader: WireReader, { type, fields, empty }: Layout): object {
  const message: Record<string, Value> = { type, ...empty };
  while (reader.nextField()) {
    const field = fields.find(({ number }) => number === reader.field);
    if (field === undefined) reader.skip();
    else message[field.name] = readValue(reader, field.kind);
  }
  return message;
}

function readValue(reader: WireReader, kind: Kind): Value {
  if (kind === "uint32") return reader.uint32();
  if (kind === "uint64") return BigInt.asUintN(64, reader.int64());
  if (kind === "bytes") return shortBytes(reader.bytes());
  return cleanErrorText(reader.string(kind.maxBytes));
}

function emptyOf(kind: Kind): Value {
  if (kind === "uint32") return 0;
  if (kind === "uint64") return 0n;
  return kind === "bytes" ? Buffer.alloc(0) : "";
}

function shortBytes(bytes: Buffer): Buffer {
  if (bytes.length > tokenMaxBytes) throw new WireError("message has too many bytes in a field");
  return Buffer.from(bytes);
}

function encode(message: { readonly type: string }, layouts: Layouts): Buffer {
  const layout = layouts.byType.get(message.type);
  if (layout === undefined) throw new Error(`no layout for ${message.type}`);
  const values = message as unknown as Readonly<Record<string, Value>>;
  const present = layout.fields.filter(({ name }) => isPresent(values[name]));
  const inner = present.reduce((size, field) => size + 1 + sizeOf(field, values[field.name] as Value), 0);
  const writer = new WireWriter(1 + varintSize(inner) + inner);
  writer.lengthOf(layout.member, inner);
  for (const { name, number } of present) writeValue(writer, number, values[name] as Value);
  return writer.buffer;
}

function writeValue(writer: WireWriter, field: number, value: Value): void {
  if (typeof value === "number") writer.number(field, value);
  else if (typeof value === "bigint") writer.int64(field, value);
  else if (typeof value === "string") writer.string(field, value);
  else writer.bytes(field, value);
}

/** Proto3 leaves zero and empty values out. */
const isPresent = (value: Value | undefined): boolean =>
  typeof value === "object" ? value.length > 0 : value !== undefined && Boolean(value);

/** Bytes of a value without its tag. */
function sizeOf({ name, kind }: Field, value: Value): number {
  if (typeof value === "number") return varintSize(value);
  if (typeof value === "bigint") return int64Size(value);
  const length = typeof value === "string" ? Buffer.byteLength(value) : value.length;
  if (typeof kind === "object" && length > kind.maxBytes) {
    throw new WireError(`message has ${name} of ${length} bytes where ${kind.maxBytes} are allowed`);
  }
  return varintSize(length) + length;
}

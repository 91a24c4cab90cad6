import { cleanErrorText } from "../konnectivity/dial-error-text.ts";
import { int64Size, varintSize, WireError, WireReader, WireWriter } from "../protobuf/wire.ts";

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
type Layout = Readonly<Record<string, readonly [field: number, kind: Kind]>>;

const turn = [1, "uint32"] as const;
const code = [2, { maxBytes: codeMaxBytes }] as const;

/** Of each message of a lane: its member of the oneof, and its own fields. */
const laneLayouts = {
  dial: {
    member: 1,
    fields: {
      turn,
      dialId: [2, "uint64"],
      address: [3, { maxBytes: addressMaxBytes }],
      remainingMs: [4, "uint32"],
      protocol: [5, { maxBytes: protocolMaxBytes }],
    },
  },
  dialed: { member: 2, fields: { turn, reached: [2, { maxBytes: addressMaxBytes }] } },
  refused: { member: 3, fields: { turn, code, text: [3, { maxBytes: textMaxBytes }] } },
  end: { member: 5, fields: { turn } },
  reset: { member: 6, fields: { turn, code } },
} as const satisfies Record<Exclude<LaneMessage["type"], "data">, { member: number; fields: Layout }>;

/** DATA alone is bytes without a message around them, for it comes most often. */
const dataMember = 4;

const linkLayouts = {
  welcome: { member: 1, fields: { token: [1, "bytes"] } },
  lanesWanted: { member: 2, fields: { count: [1, "uint32"] } },
  ping: { member: 3, fields: { number: [1, "uint32"] } },
  pong: { member: 4, fields: { number: [1, "uint32"] } },
  draining: { member: 5, fields: {} },
} as const satisfies Record<LinkMessage["type"], { member: number; fields: Layout }>;

/**
 * `data` is a view into `message`. Of several members the last one counts. Throws WireError for broken protobuf, a field of
 * another type than its own, or a string over its limit.
 */
export function decodeLaneMessage(message: Buffer): LaneMessage | UnknownMessage {
  return decode<LaneMessage>(message, laneLayouts, dataMember);
}

/** Throws as `decodeLaneMessage` does. */
export function decodeLinkMessage(message: Buffer): LinkMessage | UnknownMessage {
  return decode<LinkMessage>(message, linkLayouts);
}

/** The pieces of one message, for `GrpcStream.send`; the bytes of `data` are not copied. Throws WireError for a string over its limit. */
export function encodeLaneMessage(message: LaneMessage): readonly Uint8Array[] {
  if (message.type !== "data") return [encode(message, laneLayouts[message.type])];
  const head = new WireWriter(1 + varintSize(message.data.length));
  head.lengthOf(dataMember, message.data.length);
  return [head.buffer, message.data];
}

export function encodeLinkMessage(message: LinkMessage): readonly Uint8Array[] {
  return [encode(message, linkLayouts[message.type])];
}

type Layouts = Readonly<Record<string, { readonly member: number; readonly fields: Layout }>>;

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
    const type = Object.keys(layouts).find((name) => layouts[name]?.member === reader.field);
    if (type === undefined) {
      reader.skip();
      continue;
    }
    const outer = reader.enter();
    found = { type, ...readFields(reader, layouts[type]?.fields ?? {}) };
    reader.leave(outer);
  }
  return found as Message | UnknownMessage;
}

function readFields(reader: WireReader, layout: Layout): Record<string, Value> {
  const values: Record<string, Value> = {};
  for (const [name, [, kind]] of Object.entries(layout)) values[name] = emptyOf(kind);
  while (reader.nextField()) {
    const entry = Object.entries(layout).find(([, [field]]) => field === reader.field);
    if (entry === undefined) {
      reader.skip();
      continue;
    }
    const [name, [, kind]] = entry;
    if (kind === "uint32") values[name] = reader.uint32();
    else if (kind === "uint64") values[name] = BigInt.asUintN(64, reader.int64());
    else if (kind === "bytes") values[name] = shortBytes(reader.bytes());
    else values[name] = cleanErrorText(reader.string(kind.maxBytes));
  }
  return values;
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

function encode(message: object, { member, fields }: { readonly member: number; readonly fields: Layout }): Buffer {
  const values = Object.entries(fields)
    .map(([name, [field, kind]]) => ({ name, field, kind, value: (message as Record<string, Value>)[name] }))
    .filter((entry): entry is { name: string; field: number; kind: Kind; value: Value } => isPresent(entry.value));
  const inner = values.reduce((size, { name, kind, value }) => size + 1 + sizeOf(name, kind, value), 0);
  const writer = new WireWriter(1 + varintSize(inner) + inner);
  writer.lengthOf(member, inner);
  for (const { field, value } of values) {
    if (typeof value === "number") writer.number(field, value);
    else if (typeof value === "bigint") writer.int64(field, value);
    else if (typeof value === "string") writer.string(field, value);
    else writer.bytes(field, value);
  }
  return writer.buffer;
}

/** Proto3 leaves zero and empty values out. */
const isPresent = (value: Value | undefined): boolean =>
  typeof value === "object" ? value.length > 0 : value !== undefined && Boolean(value);

/** Bytes of a value without its tag. */
function sizeOf(name: string, kind: Kind, value: Value): number {
  if (typeof value === "number") return varintSize(value);
  if (typeof value === "bigint") return int64Size(value);
  const length = typeof value === "string" ? Buffer.byteLength(value) : value.length;
  if (typeof kind === "object" && length > kind.maxBytes) {
    throw new WireError(`message has ${name} of ${length} bytes where ${kind.maxBytes} are allowed`);
  }
  return varintSize(length) + length;
}

import { int64Size, varintSize, WireError, WireReader, WireWriter } from "../protobuf/wire.ts";

export { WireError } from "../protobuf/wire.ts";

/** The packet types and their numbers on the wire. Source: proto/konnectivity.proto. */
export const packetNumbers = {
  DIAL_REQ: 0,
  DIAL_RSP: 1,
  CLOSE_REQ: 2,
  CLOSE_RSP: 3,
  DATA: 4,
  DIAL_CLS: 5,
  DRAIN: 6,
} as const;
export type PacketType = keyof typeof packetNumbers;

/** A packet that can be sent. Ids are int64: the wire allows negative ones, and both directions keep them. */
export type KnownPacket =
  | { readonly type: "DIAL_REQ"; readonly protocol: string; readonly address: string; readonly random: bigint }
  | { readonly type: "DIAL_RSP"; readonly random: bigint; readonly connectId: bigint; readonly error: string }
  | { readonly type: "CLOSE_REQ"; readonly connectId: bigint }
  | { readonly type: "CLOSE_RSP"; readonly connectId: bigint; readonly error: string }
  | { readonly type: "DATA"; readonly connectId: bigint; readonly data: Buffer }
  | { readonly type: "DIAL_CLS"; readonly random: bigint }
  | { readonly type: "DRAIN" };

/** A packet as it is received: `number` is a type that this version does not know, whatever its payload. */
export type Packet = KnownPacket | { readonly type: "UNKNOWN"; readonly number: number };

/** Longest `protocol` and `address` of a dial, in bytes of UTF-8. Whoever makes a dial checks them first. */
export const protocolMaxBytes = 32;
export const addressMaxBytes = 1024;

/** The fields of all payloads; no two mean different things by one name. */
interface Fields {
  protocol: string;
  address: string;
  random: bigint;
  connectId: bigint;
  error: string;
  data: Buffer;
}

/** Any packet, as the holder of those fields that its type has. */
type SomeFields = Partial<Readonly<Fields>> & { readonly type: PacketType };

type Layout = readonly (keyof Fields | undefined)[];

/** Of each type: the field of Packet that holds its payload, and the payload's own fields by number, from 0. */
const payloads = {
  DIAL_REQ: { field: 2, layout: [undefined, "protocol", "address", "random"] },
  DIAL_RSP: { field: 3, layout: [undefined, "error", "connectId", "random"] },
  DATA: { field: 4, layout: [undefined, "connectId", "error", "data"] },
  CLOSE_REQ: { field: 5, layout: [undefined, "connectId"] },
  CLOSE_RSP: { field: 6, layout: [undefined, "error", "connectId"] },
  DIAL_CLS: { field: 7, layout: [undefined, "random"] },
  DRAIN: { field: 8, layout: [] },
} as const satisfies Record<PacketType, { field: number; layout: Layout }>;

const typeField = 1;
const typesByNumber = byNumber((type) => packetNumbers[type]);
const typesByPayloadField = byNumber((type) => payloads[type].field);

function byNumber(numberOf: (type: PacketType) => number): readonly (PacketType | undefined)[] {
  const types: (PacketType | undefined)[] = [];
  for (const type of Object.keys(payloads) as PacketType[]) types[numberOf(type)] = type;
  return types;
}

const noData = Buffer.alloc(0);
const noFields: Fields = { protocol: "", address: "", random: 0n, connectId: 0n, error: "", data: noData };

/**
 * Decodes one message as proto3 does: of a repeated field the last value counts, of different payloads the last one, and
 * pieces of the same payload are merged; unknown fields are passed over.
 * `data` is a view into `message`: it lives as long as that and must be copied if it is held for long.
 * Throws WireError, and nothing else: for broken protobuf, a known field of another wire type than its own, a group, a
 * dial's `protocol` or `address` over its limit, and a payload that is missing or is not the type's. Error texts come as they
 * were sent, of any length; `cleanErrorText` makes them fit for use. Source: proto/PROTOCOL.md#packets
 */
export function decodePacket(message: Buffer): Packet {
  const reader = new WireReader(message);
  let number = 0;
  let payload: PacketType | undefined;
  let fields = noFields;
  while (reader.nextField()) {
    if (reader.field === typeField) {
      number = reader.enumNumber();
      continue;
    }
    const found = typesByPayloadField[reader.field];
    if (found === undefined) {
      reader.skip();
      continue;
    }
    if (found !== payload) fields = { ...noFields };
    payload = found;
    const outer = reader.enter();
    readPayload(reader, payloads[payload].layout, fields);
    reader.leave(outer);
  }
  return packetOf(number, payload, fields);
}

function readPayload(reader: WireReader, layout: Layout, fields: Fields): void {
  while (reader.nextField()) {
    const name = layout[reader.field];
    switch (name) {
      case undefined:
        reader.skip();
        break;
      case "protocol":
        fields.protocol = reader.string(protocolMaxBytes);
        break;
      case "address":
        fields.address = reader.string(addressMaxBytes);
        break;
      case "error":
        fields.error = reader.string(Number.POSITIVE_INFINITY);
        break;
      case "data":
        fields.data = reader.bytes();
        break;
      default:
        fields[name] = reader.int64();
    }
  }
}

function packetOf(number: number, payload: PacketType | undefined, fields: Fields): Packet {
  const type = typesByNumber[number];
  if (type === undefined) return { type: "UNKNOWN", number };
  if (payload !== type) {
    throw new WireError(payload ? `${type} packet carries the payload of ${payload}` : `${type} packet has no payload`);
  }
  const { protocol, address, random, connectId, error, data } = fields;
  switch (type) {
    case "DIAL_REQ":
      return { type, protocol, address, random };
    case "DIAL_RSP":
      return { type, random, connectId, error };
    case "CLOSE_REQ":
      return { type, connectId };
    case "CLOSE_RSP":
      return { type, connectId, error };
    case "DATA":
      return { type, connectId, data };
    case "DIAL_CLS":
      return { type, random };
    case "DRAIN":
      return { type };
  }
}

/**
 * Encodes one packet into the pieces of a message, for `GrpcStream.send`. DATA becomes a head and `data` itself, which is not
 * copied; any other packet is one piece. The payload is always there, also where it is empty: Go peers crash without it.
 * Throws WireError if an id does not fit into 64 bits, or a `protocol` or `address` is over its limit, since the peer
 * would end the whole stream for it.
 */
export function encodePacket(packet: KnownPacket): readonly Uint8Array[] {
  const number = packetNumbers[packet.type];
  const { field, layout } = payloads[packet.type];
  const fields: SomeFields = packet;
  const data = fields.data;
  const inner = payloadSize(layout, fields);
  const outer = (number === 0 ? 0 : 2) + 1 + varintSize(inner) + inner;
  const writer = new WireWriter(outer - (data?.length ?? 0));
  if (number !== 0) writer.number(typeField, number);
  writer.lengthOf(field, inner);
  writePayload(writer, layout, fields);
  return data ? [writer.buffer, data] : [writer.buffer];
}

/** Whether a field stands on the wire: proto3 leaves out zero and empty ones. */
function isPresent(value: Fields[keyof Fields] | undefined): value is Fields[keyof Fields] {
  return typeof value === "object" ? value.length > 0 : Boolean(value);
}

/** Bytes of a payload without its own head. */
function payloadSize(layout: Layout, fields: SomeFields): number {
  let size = 0;
  for (const name of layout) {
    if (name === undefined) continue;
    const value = fields[name];
    if (!isPresent(value)) continue;
    if (typeof value === "bigint") {
      size += 1 + int64Size(value);
      continue;
    }
    const length = typeof value === "string" ? stringSize(name, value) : value.length;
    size += 1 + varintSize(length) + length;
  }
  return size;
}

function stringSize(name: keyof Fields, value: string): number {
  const size = Buffer.byteLength(value);
  const allowed = name === "address" ? addressMaxBytes : name === "protocol" ? protocolMaxBytes : size;
  if (size > allowed) throw new WireError(`packet has a ${name} of ${size} bytes where ${allowed} are allowed`);
  return size;
}

/** Writes what `payloadSize` counted, but for the bytes of `data`, which is always the last field. */
function writePayload(writer: WireWriter, layout: Layout, fields: SomeFields): void {
  for (let field = 1; field < layout.length; field++) {
    const name = layout[field];
    const value = name && fields[name];
    if (!isPresent(value)) continue;
    if (typeof value === "bigint") writer.int64(field, value);
    else if (typeof value === "string") writer.string(field, value);
    else writer.lengthOf(field, value.length);
  }
}

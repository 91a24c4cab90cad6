import { isDeepStrictEqual } from "node:util";
import { type Deserialize, loadSync, type Serialize, type ServiceDefinition } from "@grpc/proto-loader";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodePacket, encodePacket, type KnownPacket, packetNumbers } from "../../../../shared/konnectivity/packet.ts";
import { protoPath } from "../../../../shared/proto.ts";
import { anyId, anyPacket } from "./packet-arbitraries.ts";

const definition = loadSync(protoPath("konnectivity.proto"), {
  keepCase: true,
  longs: String,
  bytes: String,
  defaults: false,
  oneofs: true,
});
const { Proxy: proxy } = definition.ProxyService as ServiceDefinition;
const { Connect: connect } = definition.AgentService as ServiceDefinition;
if (!proxy || !connect) throw new Error("konnectivity.proto lacks a method");
const oracleEncode = proxy.requestSerialize as Serialize<object>;
const oracleDecode = proxy.responseDeserialize as Deserialize<object>;

const members = {
  DIAL_REQ: "dialRequest",
  DIAL_RSP: "dialResponse",
  CLOSE_REQ: "closeRequest",
  CLOSE_RSP: "closeResponse",
  DATA: "data",
  DIAL_CLS: "closeDial",
  DRAIN: "drain",
} as const;

/** The packet as protobufjs wants it: ids in decimal, bytes in base64, no field that is zero or empty. */
function oracleForm(packet: KnownPacket): Record<string, unknown> {
  const { type, ...fields } = packet;
  const entries = Object.entries(fields)
    .filter(([, value]) => (typeof value === "object" ? value.length > 0 : Boolean(value)))
    .map(([name, value]) => [
      name === "connectId" ? "connectID" : name,
      typeof value === "object" ? value.toString("base64") : String(value),
    ]);
  return {
    ...(packetNumbers[type] === 0 ? {} : { type: packetNumbers[type] }),
    [members[type]]: Object.fromEntries(entries),
  };
}

const joined = (packet: KnownPacket) => Buffer.concat(encodePacket(packet));

type Field = readonly [tag: number, ...bytes: number[]];

/** One field after another, as plain as it can be. */
const wire = (fields: readonly Field[]) => Buffer.from(fields.flat());
const varint = (value: bigint): number[] =>
  value < 0x80n ? [Number(value)] : [Number(value & 0x7fn) | 0x80, ...varint(value >> 7n)];
const idField = (tag: number, id: bigint): Field => [tag, ...varint(BigInt.asUintN(64, id))];
const bytesField = (tag: number, bytes: Uint8Array): Field => [tag, ...varint(BigInt(bytes.length)), ...bytes];

/** Fields 9 to 15, which no message has, of every wire type but groups. */
const anyUnknownField: fc.Arbitrary<Field> = fc.integer({ min: 9, max: 15 }).chain((number) =>
  fc.oneof(
    anyId.map((id) => idField(number << 3, id)),
    fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes): Field => [(number << 3) | 1, ...bytes]),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => bytesField((number << 3) | 2, bytes)),
    fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes): Field => [(number << 3) | 5, ...bytes]),
  ),
);

/** `fields` in any order, with unknown ones between them. */
const disordered = (fields: readonly Field[]): fc.Arbitrary<Buffer> =>
  fc
    .array(anyUnknownField, { maxLength: 4 })
    .chain((unknown) =>
      fc.shuffledSubarray([...fields, ...unknown], { minLength: fields.length + unknown.length }).map(wire),
    );

describe("the packet codec beside protobufjs", () => {
  it("writes the same bytes", () => {
    fc.assert(
      fc.property(anyPacket, (packet) => {
        expect(joined(packet).equals(oracleEncode(oracleForm(packet)))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it("writes what protobufjs reads", () => {
    fc.assert(
      fc.property(anyPacket, (packet) => {
        expect(oracleDecode(joined(packet))).toMatchObject(oracleForm(packet));
      }),
      { numRuns: 1000 },
    );
  });

  it("reads what protobufjs writes", () => {
    fc.assert(
      fc.property(anyPacket, (packet) => {
        const decoded = decodePacket(oracleEncode(oracleForm(packet)));
        // vitest compares the bytes of a Buffer one by one, and slowly.
        if (!isDeepStrictEqual(decoded, packet)) expect(decoded).toEqual(packet);
      }),
      { numRuns: 3000 },
    );
  });

  it("reads fields in any order, with unknown ones between them, as protobufjs does", () => {
    const dialResponse = fc.record({
      random: anyId,
      connectId: anyId,
      error: fc.string({ unit: "binary", maxLength: 40 }),
    });
    const anyCase = dialResponse.chain((fields) =>
      disordered([
        bytesField(0x0a, Buffer.from(fields.error)),
        idField(0x10, fields.connectId),
        idField(0x18, fields.random),
      ]).chain((payload) => disordered([[0x08, 1], bytesField(0x1a, payload)]).map((message) => ({ fields, message }))),
    );
    fc.assert(
      fc.property(anyCase, ({ fields, message }) => {
        expect(decodePacket(message)).toEqual({ type: "DIAL_RSP", ...fields });
        expect(oracleDecode(message)).toMatchObject(oracleForm({ type: "DIAL_RSP", ...fields }));
      }),
      { numRuns: 2000 },
    );
  });

  it("reads an unknown type's number as protobufjs does", () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: 7 }), fc.integer({ max: -1 })), (number) => {
        expect(decodePacket(oracleEncode({ type: number, data: { connectID: "1" } }))).toEqual({
          type: "UNKNOWN",
          number,
        });
      }),
    );
  });
});

describe("konnectivity.proto", () => {
  it("names the methods as Go peers do, without a package", () => {
    expect([proxy.path, connect.path]).toEqual(["/ProxyService/Proxy", "/AgentService/Connect"]);
    expect([proxy, connect].map((method) => [method.requestStream, method.responseStream])).toEqual([
      [true, true],
      [true, true],
    ]);
  });
});

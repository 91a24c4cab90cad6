import { describe, expect, it } from "vitest";
import {
  addressMaxBytes,
  decodePacket,
  encodePacket,
  type KnownPacket,
  type Packet,
  protocolMaxBytes,
  WireError,
} from "../../../../shared/konnectivity/packet.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const joined = (packet: KnownPacket) => Buffer.concat(encodePacket(packet));

/** What the Go reference writes. */
const vectors: readonly (readonly [KnownPacket, string])[] = [
  [
    { type: "DIAL_REQ", protocol: "tcp", address: "127.0.0.1:8080", random: 111n },
    "12 17 0a 03 74 63 70 12 0e 31 32 37 2e 30 2e 30 2e 31 3a 38 30 38 30 18 6f",
  ],
  [{ type: "DIAL_RSP", random: 111n, connectId: 1n, error: "" }, "08 01 1a 04 10 01 18 6f"],
  [{ type: "DATA", connectId: 1n, data: Buffer.from("hi") }, "08 04 22 06 08 01 1a 02 68 69"],
  [{ type: "CLOSE_REQ", connectId: 1n }, "08 02 2a 02 08 01"],
  [{ type: "CLOSE_RSP", connectId: 1n, error: "" }, "08 03 32 02 10 01"],
  [{ type: "DIAL_CLS", random: 111n }, "08 05 3a 02 08 6f"],
  [{ type: "DRAIN" }, "08 06 42 00"],
];

describe("the reference's vectors", () => {
  it.each(vectors)("encodes and decodes %o", (packet, bytes) => {
    expect(joined(packet).toString("hex")).toBe(hex(bytes).toString("hex"));
    expect(decodePacket(hex(bytes))).toEqual(packet);
  });
});

describe("encodePacket", () => {
  it("hands on the bytes of DATA without copying them", () => {
    const data = Buffer.alloc(70_000, 7);
    const pieces = encodePacket({ type: "DATA", connectId: 5n, data });
    expect(pieces).toHaveLength(2);
    expect(pieces[1]).toBe(data);
  });

  it.each<[string, KnownPacket, string]>([
    ["DATA without bytes", { type: "DATA", connectId: 1n, data: Buffer.alloc(0) }, "08 04 22 02 08 01"],
    ["a payload of nothing but zeros", { type: "CLOSE_REQ", connectId: 0n }, "08 02 2a 00"],
    ["a negative id", { type: "CLOSE_REQ", connectId: -1n }, "08 02 2a 0b 08 ff ff ff ff ff ff ff ff ff 01"],
    ["the largest id", { type: "DIAL_CLS", random: 2n ** 63n - 1n }, "08 05 3a 0a 08 ff ff ff ff ff ff ff ff 7f"],
    ["an id of 33 bits", { type: "DIAL_CLS", random: 2n ** 32n }, "08 05 3a 06 08 80 80 80 80 10"],
  ])("writes %s", (_, packet, bytes) => {
    expect(joined(packet)).toEqual(hex(bytes));
    expect(decodePacket(hex(bytes))).toEqual(packet);
  });

  it.each<[string, KnownPacket]>([
    ["an id over 64 bits", { type: "CLOSE_REQ", connectId: 2n ** 63n }],
    ["a negative id over 64 bits", { type: "CLOSE_REQ", connectId: -(2n ** 63n) - 1n }],
    ["an address over its limit", { type: "DIAL_REQ", protocol: "tcp", address: "ü".repeat(513), random: 1n }],
    ["a protocol over its limit", { type: "DIAL_REQ", protocol: "x".repeat(33), address: "", random: 1n }],
  ])("refuses %s", (_, packet) => {
    expect(() => encodePacket(packet)).toThrow(WireError);
  });
});

describe("decodePacket", () => {
  it("gives a view of the data, not a copy", () => {
    const message = hex("08 04 22 06 08 01 1a 02 68 69");
    const packet = decodePacket(message);
    message[8] = 0x48;
    expect(packet).toEqual({ type: "DATA", connectId: 1n, data: Buffer.from("Hi") });
  });

  it.each<[string, string, Packet]>([
    ["the last of two types", "08 02 08 04 22 02 08 01", { type: "DATA", connectId: 1n, data: Buffer.alloc(0) }],
    ["the last of two ids", "08 02 2a 04 08 01 08 02", { type: "CLOSE_REQ", connectId: 2n }],
    ["the last of two different payloads", "08 02 2a 02 08 01 3a 02 08 01 2a 00", { type: "CLOSE_REQ", connectId: 0n }],
    ["one payload in two pieces", "08 01 1a 02 10 01 1a 02 18 6f", vectors[1]?.[0] as Packet],
    ["a type behind the payload", "2a 02 08 01 08 02", { type: "CLOSE_REQ", connectId: 1n }],
    ["a number in more bytes than it needs", "88 80 00 82 00 2a 02 08 01", { type: "CLOSE_REQ", connectId: 1n }],
    ["unknown fields of every kind", "08 06 42 00 48 01 51 0102030405060708 5a 01 ff 65 01020304", { type: "DRAIN" }],
    ["an unknown packed field within a payload", "08 02 2a 06 22 02 01 02 08 01", { type: "CLOSE_REQ", connectId: 1n }],
    [
      "DATA with its unused error",
      "08 04 22 05 08 01 12 01 78",
      { type: "DATA", connectId: 1n, data: Buffer.alloc(0) },
    ],
    ["an unknown type with a payload", "08 07 22 02 08 01", { type: "UNKNOWN", number: 7 }],
    ["an unknown type without one", "08 80 01", { type: "UNKNOWN", number: 128 }],
    ["a negative type", "08 ff ff ff ff ff ff ff ff ff 01", { type: "UNKNOWN", number: -1 }],
    ["a type whose upper bits are cut off", "08 86 80 80 80 10 42 00", { type: "DRAIN" }],
    ["the smallest id", "08 02 2a 0b 08 80 80 80 80 80 80 80 80 80 01", { type: "CLOSE_REQ", connectId: -(2n ** 63n) }],
  ])("takes %s", (_, bytes, packet) => {
    expect(decodePacket(hex(bytes))).toEqual(packet);
  });

  it.each([
    ["an empty message", "", "DIAL_REQ packet has no payload"],
    ["a type without payload", "08 04", "DATA packet has no payload"],
    ["DRAIN without payload", "08 06", "DRAIN packet has no payload"],
    ["the payload of another type", "08 04 2a 02 08 01", "DATA packet carries the payload of CLOSE_REQ"],
    ["a payload without type", "2a 02 08 01", "DIAL_REQ packet carries the payload of CLOSE_REQ"],
    ["a tag cut short", "88", "cut short"],
    ["a number cut short", "08 80", "cut short"],
    ["a payload cut short", "08 04 22 06 08 01 1a 02 68", "cut short"],
    ["a length that leaves the payload", "08 04 22 06 08 01 1a 03 68 69 70", "cut short"],
    ["a length of 2^32 and more", "08 04 22 80 80 80 80 10", "cut short"],
    ["an unknown field cut short", "08 06 42 00 51 01 02", "cut short"],
    ["a number of eleven bytes", "08 80 80 80 80 80 80 80 80 80 80 01", "more than 64 bits"],
    ["a number of 65 bits", "08 80 80 80 80 80 80 80 80 80 02", "more than 64 bits"],
    ["field number 0", "08 06 42 00 00 00", "invalid field number"],
    ["a field number over 2^29 - 1", "08 06 42 00 80 80 80 80 10 00", "invalid field number"],
    ["a group", "08 06 42 00 4b 4c", "wire type 3"],
    ["the end of a group", "08 06 42 00 4c", "wire type 4"],
    ["wire type 6", "08 06 42 00 4e", "wire type 6"],
    ["a type as bytes", "0a 01 04 22 02 08 01", "field 1 as wire type 2 instead of 0"],
    ["an id as fixed64", "08 02 2a 09 09 01 00 00 00 00 00 00 00", "field 1 as wire type 1 instead of 0"],
    ["a payload as number", "08 02 28 01", "field 5 as wire type 0 instead of 2"],
    ["invalid UTF-8", "08 03 32 03 0a 01 ff", "invalid UTF-8"],
    ["UTF-8 of a lone surrogate", "08 03 32 05 0a 03 ed a0 80", "invalid UTF-8"],
    ["invalid UTF-8 in a payload that a later one replaces", "08 06 32 03 0a 01 ff 42 00", "invalid UTF-8"],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => decodePacket(hex(bytes))).toThrow(WireError);
    expect(() => decodePacket(hex(bytes))).toThrow(message);
  });

  it("takes an address and a protocol of the longest length, and none that is one byte longer", () => {
    const dial = (protocol: string, address: string) => {
      const length = (text: string) => [(text.length & 0x7f) | 0x80, text.length >>> 7];
      const payload = [
        0x0a,
        ...length(protocol),
        ...Buffer.from(protocol),
        0x12,
        ...length(address),
        ...Buffer.from(address),
      ];
      return Buffer.from([0x12, (payload.length & 0x7f) | 0x80, payload.length >>> 7, ...payload]);
    };
    const protocol = "p".repeat(protocolMaxBytes);
    const address = "a".repeat(addressMaxBytes);
    expect(decodePacket(dial(protocol, address))).toEqual({ type: "DIAL_REQ", protocol, address, random: 0n });
    expect(() => decodePacket(dial(protocol, `${address}a`))).toThrow("string of 1025 bytes where 1024 are allowed");
    expect(() => decodePacket(dial(`${protocol}p`, address))).toThrow("string of 33 bytes where 32 are allowed");
  });
});

import { loadSync, type Serialize, type ServiceDefinition } from "@grpc/proto-loader";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { protoPath } from "../../../../shared/proto.ts";
import { WireError } from "../../../../shared/protobuf/wire.ts";
import {
  dataHeadBytes,
  decodeLaneMessage,
  decodeLinkMessage,
  encodeLaneMessage,
  encodeLinkMessage,
  type LaneMessage,
  type LinkMessage,
  laneMessageMaxBytes,
} from "../../../../shared/tunnel/messages.ts";

const definition = loadSync(protoPath("tunnel.proto"), { longs: String, bytes: Buffer, oneofs: true });
const service = definition["hawser.tunnel.v1.TunnelService"] as ServiceDefinition;
/** Both directions, since each has messages that the other lacks. */
const oracles = {
  dial: service.Carry?.responseSerialize,
  welcome: service.Link?.responseSerialize,
  lanesWanted: service.Link?.responseSerialize,
  ping: service.Link?.responseSerialize,
  pong: service.Link?.requestSerialize,
  draining: service.Link?.requestSerialize,
  dialed: service.Carry?.requestSerialize,
  refused: service.Carry?.requestSerialize,
  data: service.Carry?.responseSerialize,
  end: service.Carry?.requestSerialize,
  reset: service.Carry?.responseSerialize,
} as Readonly<Record<(LaneMessage | LinkMessage)["type"], Serialize<object>>>;

/** The message as protobufjs wants it: without fields that are zero or empty. */
function oracleForm(message: LaneMessage | LinkMessage): object {
  const { type, ...fields } = message;
  if (message.type === "data") return { data: message.data };
  const present = Object.entries(fields).filter(([, value]) => (typeof value === "object" ? value.length > 0 : value));
  return {
    [type]: Object.fromEntries(present.map(([name, value]) => [name, typeof value === "bigint" ? `${value}` : value])),
  };
}

const uint32 = fc.nat({ max: 0xffff_ffff });
const text = (maxBytes: number) =>
  fc.stringMatching(/^[ -~é€]*$/).filter((value) => Buffer.byteLength(value) <= Math.min(maxBytes, 200));

const anyLaneMessage: fc.Arbitrary<LaneMessage> = fc.oneof(
  fc.record({
    type: fc.constant("dial" as const),
    turn: uint32,
    dialId: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    address: text(1024),
    remainingMs: uint32,
    protocol: text(32),
  }),
  fc.record({ type: fc.constant("dialed" as const), turn: uint32, reached: text(1024) }),
  fc.record({ type: fc.constant("refused" as const), turn: uint32, code: text(64), text: text(4096) }),
  fc.record({
    type: fc.constant("data" as const),
    data: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({ type: fc.constant("end" as const), turn: uint32 }),
  fc.record({ type: fc.constant("reset" as const), turn: uint32, code: text(64) }),
);

const anyLinkMessage: fc.Arbitrary<LinkMessage> = fc.oneof(
  fc.record({
    type: fc.constant("welcome" as const),
    token: fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({ type: fc.constant("lanesWanted" as const), count: uint32 }),
  fc.record({ type: fc.constant("ping" as const), number: uint32 }),
  fc.record({ type: fc.constant("pong" as const), number: uint32 }),
  fc.record({ type: fc.constant("draining" as const) }),
);

const joined = (pieces: readonly Uint8Array[]) => Buffer.concat(pieces);

describe("the codec of lanes and links beside protobufjs", () => {
  it("writes the same bytes for a lane", () => {
    fc.assert(
      fc.property(anyLaneMessage, (message) => {
        expect(joined(encodeLaneMessage(message)).equals(oracles[message.type](oracleForm(message)))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("reads back what it writes, and what protobufjs writes", () => {
    fc.assert(
      fc.property(anyLaneMessage, (message) => {
        expect(decodeLaneMessage(joined(encodeLaneMessage(message)))).toEqual(message);
        expect(decodeLaneMessage(oracles[message.type](oracleForm(message)))).toEqual(message);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(anyLinkMessage, (message) => {
        expect(decodeLinkMessage(joined(encodeLinkMessage(message)))).toEqual(message);
        expect(decodeLinkMessage(oracles[message.type](oracleForm(message)))).toEqual(message);
      }),
      { numRuns: 1000 },
    );
  });

  it("writes the same bytes for a link", () => {
    fc.assert(
      fc.property(anyLinkMessage, (message) => {
        expect(joined(encodeLinkMessage(message)).equals(oracles[message.type](oracleForm(message)))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("passes over what a later version may send", () => {
    // Member 9 with three bytes, then an End of turn 5 with a field 7 of its own.
    const bytes = Buffer.from([0x4a, 3, 1, 2, 3, 0x2a, 4, 0x08, 5, 0x38, 1]);
    expect(decodeLaneMessage(bytes)).toEqual({ type: "end", turn: 5 });
    expect(decodeLaneMessage(bytes.subarray(0, 5))).toEqual({ type: "unknown" });
    expect(decodeLinkMessage(bytes.subarray(0, 5))).toEqual({ type: "unknown" });
  });

  it("refuses text over its limit, both ways, and takes the control characters out of a peer's text", () => {
    const long: LaneMessage = { type: "reset", turn: 1, code: "x".repeat(65) };
    expect(() => encodeLaneMessage(long)).toThrow(WireError);
    expect(() => decodeLaneMessage(oracles.reset(oracleForm(long)))).toThrow(WireError);
    const dirty: LaneMessage = { type: "refused", turn: 1, code: "dns", text: "a\nb" };
    expect(decodeLaneMessage(joined(encodeLaneMessage(dirty)))).toEqual({ ...dirty, text: "a b" });
  });

  it("throws nothing but WireError for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const decode of [decodeLaneMessage, decodeLinkMessage]) {
          try {
            decode(Buffer.from(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(WireError);
          }
        }
      }),
      { numRuns: 20_000 },
    );
  });
});

describe("the head of a data message", () => {
  it("is all that comes before the data, whatever has come of that", () => {
    fc.assert(
      fc.property(fc.nat({ max: 130_000 }), fc.nat({ max: 40 }), (length, come) => {
        const message = joined(encodeLaneMessage({ type: "data", data: Buffer.alloc(length, 1) }));
        const head = message.length - length;
        const start = message.subarray(0, come);
        expect(dataHeadBytes(start, message.length)).toBe(start.length >= head ? head : 0);
      }),
      { numRuns: 1_000 },
    );
  });

  it("is none of a message over the limit, of another message, and of data that is not alone", () => {
    const long = joined(encodeLaneMessage({ type: "data", data: Buffer.alloc(laneMessageMaxBytes) }));
    const refused = joined(encodeLaneMessage({ type: "refused", turn: 1, code: "dns", text: "x".repeat(200) }));
    const data = joined(encodeLaneMessage({ type: "data", data: Buffer.alloc(300) }));
    expect(dataHeadBytes(long, long.length)).toBe(0);
    expect(dataHeadBytes(refused, refused.length)).toBe(0);
    expect(dataHeadBytes(data, data.length + 2)).toBe(0);
  });
});

/** The wire is fixed: peers of other versions speak it. */
it.each<[string, LaneMessage | LinkMessage]>([
  [
    "0a1c0807106f1a0e3132372e302e302e313a3830383020c03e2a03746370",
    { type: "dial", turn: 7, dialId: 111n, address: "127.0.0.1:8080", remainingMs: 8000, protocol: "tcp" },
  ],
  ["12120807120e3132372e302e302e313a38303830", { type: "dialed", turn: 7, reached: "127.0.0.1:8080" }],
  ["1a1508071203646e731a0c6e6f207375636820686f7374", { type: "refused", turn: 7, code: "dns", text: "no such host" }],
  ["22026869", { type: "data", data: Buffer.from("hi") }],
  ["2a020807", { type: "end", turn: 7 }],
  ["32080807120469646c65", { type: "reset", turn: 7, code: "idle" }],
  ["0a050a03010203", { type: "welcome", token: Buffer.from([1, 2, 3]) }],
  ["12020803", { type: "lanesWanted", count: 3 }],
  ["1a020801", { type: "ping", number: 1 }],
  ["22020801", { type: "pong", number: 1 }],
  ["2a00", { type: "draining" }],
])("stands on the wire as %s", (hex, message) => {
  const isOfLink = ["welcome", "lanesWanted", "ping", "pong", "draining"].includes(message.type);
  const pieces = isOfLink ? encodeLinkMessage(message as LinkMessage) : encodeLaneMessage(message as LaneMessage);
  expect(joined(pieces).toString("hex")).toBe(hex);
});

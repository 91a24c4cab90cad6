import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  decodePacket,
  encodePacket,
  type KnownPacket,
  type Packet,
  WireError,
} from "../../../../shared/konnectivity/packet.ts";

/** Marsaglia's xorshift of 32 bits: the same inputs in every run. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

const samples: readonly Buffer[] = (
  [
    { type: "DIAL_REQ", protocol: "tcp", address: "[fd00::1]:10250", random: 2n ** 63n - 1n },
    { type: "DIAL_RSP", random: 2n ** 62n + 1n, connectId: 7n, error: "" },
    { type: "DIAL_RSP", random: 111n, connectId: 0n, error: "dial tcp 10.0.0.1:80: connect: connection refused" },
    { type: "CLOSE_REQ", connectId: 300n },
    { type: "CLOSE_RSP", connectId: -1n, error: "größer" },
    { type: "DATA", connectId: 1n, data: Buffer.from("0123456789abcdef") },
    { type: "DATA", connectId: 2n ** 40n, data: Buffer.alloc(200, 0x12) },
    { type: "DIAL_CLS", random: 111n },
    { type: "DRAIN" },
  ] satisfies KnownPacket[]
).map((packet) => Buffer.concat(encodePacket(packet)));

function randomBytes(random: Random): Buffer {
  const bytes = Buffer.alloc(random.below(48));
  // Half of them from small numbers, which are more often a tag, a type or a short length.
  const limit = random.below(2) === 0 ? 256 : 70;
  for (let index = 0; index < bytes.length; index++) bytes[index] = random.below(limit);
  return bytes;
}

/** A valid packet with one to four injuries. */
function mutated(random: Random): Buffer {
  let bytes = Buffer.from(samples[random.below(samples.length)] ?? "");
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = random.below(bytes.length + 1);
    const other = samples[random.below(samples.length)] ?? bytes;
    switch (random.below(6)) {
      case 0:
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 1:
        if (at < bytes.length) bytes[at] = random.below(256);
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), randomBytes(random), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length))]);
        break;
      default:
        bytes = Buffer.concat([bytes, other]);
    }
  }
  return bytes;
}

/** What went wrong with one input, or the packet that came out of it. */
function outcome(message: Buffer): Packet | "refused" {
  try {
    return decodePacket(message);
  } catch (error) {
    if (error instanceof WireError) return "refused";
    throw new Error(`decoding ${message.toString("hex")} threw`, { cause: error });
  }
}

// Half a million stack traces would take longer than the decoding.
const { stackTraceLimit } = Error;
beforeAll(() => {
  Error.stackTraceLimit = 0;
});
afterAll(() => {
  Error.stackTraceLimit = stackTraceLimit;
});

describe("decodePacket on hostile input", () => {
  it("gives a packet or a WireError for a million random and mutated inputs", () => {
    const random = new Random(0x5eed);
    const counts = { refused: 0, unknown: 0, known: 0 };
    for (let round = 0; round < 1_000_000; round++) {
      const message = round % 2 === 0 ? randomBytes(random) : mutated(random);
      const packet = outcome(message);
      if (packet === "refused") {
        counts.refused++;
      } else if (packet.type === "UNKNOWN") {
        counts.unknown++;
      } else {
        counts.known++;
        const again = decodePacket(Buffer.concat(encodePacket(packet)));
        if (!isDeepStrictEqual(again, packet)) expect(again, message.toString("hex")).toEqual(packet);
      }
    }
    expect(counts.refused).toBeGreaterThan(100_000);
    expect(counts.unknown).toBeGreaterThan(1_000);
    expect(counts.known).toBeGreaterThan(50_000);
  });

  it("refuses every proper beginning of a packet", () => {
    for (const sample of samples) {
      const whole = decodePacket(sample);
      for (let length = 0; length < sample.length; length++) {
        expect(outcome(sample.subarray(0, length)), `${sample.toString("hex")} at ${length}`).toBe("refused");
      }
      expect(outcome(sample)).toEqual(whole);
    }
  });
});

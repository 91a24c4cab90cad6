import fc from "fast-check";
import type { KnownPacket } from "../../../../shared/konnectivity/packet.ts";

const idMin = -(2n ** 63n);
const idMax = 2n ** 63n - 1n;

/** Any int64, often one beside a power of two, where varints change their length. */
export const anyId: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt(idMin, idMax),
  fc.bigInt(0n, 300n),
  fc
    .tuple(fc.integer({ min: 0, max: 62 }), fc.bigInt(-1n, 1n), fc.constantFrom(1n, -1n))
    .map(([bit, step, sign]) => sign * (2n ** BigInt(bit) + step)),
  fc.constantFrom(idMin, idMax),
);

const anyText = (maxCodePoints: number) => fc.string({ unit: "binary", maxLength: maxCodePoints });
const anyBytes = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ minLength: 16_380, maxLength: 16_390 }));

const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true });

export const anyPacket: fc.Arbitrary<KnownPacket> = fc.oneof(
  plain({ type: fc.constant("DIAL_REQ"), protocol: anyText(8), address: anyText(256), random: anyId }),
  plain({ type: fc.constant("DIAL_RSP"), random: anyId, connectId: anyId, error: anyText(600) }),
  plain({ type: fc.constant("CLOSE_REQ"), connectId: anyId }),
  plain({ type: fc.constant("CLOSE_RSP"), connectId: anyId, error: anyText(600) }),
  plain({ type: fc.constant("DATA"), connectId: anyId, data: anyBytes.map((bytes) => Buffer.from(bytes)) }),
  plain({ type: fc.constant("DIAL_CLS"), random: anyId }),
  plain({ type: fc.constant("DRAIN") }),
);

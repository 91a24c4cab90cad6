import { seededBytes } from "./seeded-bytes.ts";

/** Whole numbers from 0 up to but not `limit`, the same sequence for the same seed. */
export function seededNumbers(seed: number): (limit: number) => number {
  const chunks = seededBytes(seed, Number.POSITIVE_INFINITY);
  let chunk: Buffer = Buffer.alloc(0);
  return (limit) => {
    if (chunk.length < 4) chunk = chunks.next().value as Buffer;
    const number = chunk.readUInt32BE();
    chunk = chunk.subarray(4);
    return number % limit;
  };
}

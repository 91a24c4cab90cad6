import { createCipheriv, createHash } from "node:crypto";

const chunkBytes = 64 * 1024;

/** The first `byteCount` bytes of the endless sequence of a seed, in chunks of at most 64 KiB that are the taker's. */
export function* seededBytes(seed: number, byteCount: number): Generator<Buffer> {
  const key = Buffer.alloc(16);
  key.writeDoubleBE(seed);
  const stream = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  for (let left = byteCount; left > 0; left -= chunkBytes)
    yield stream.update(Buffer.alloc(Math.min(left, chunkBytes)));
}

/** SHA-256 in hex of the first `byteCount` bytes of a seed. */
export function digestOfSeeded(seed: number, byteCount: number): string {
  const hash = createHash("sha256");
  for (const chunk of seededBytes(seed, byteCount)) hash.update(chunk);
  return hash.digest("hex");
}

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { within } from "./within.ts";

const stepMs = 100;
const restWithinMs = 20_000;

/**
 * Reads so fast for `forMs`, then all the rest at once; resolves to the SHA-256 in hex of what came. Rejects if the connection
 * breaks, or gives much less than it is asked for.
 */
export async function readSlowlyThenAll(
  duplex: Duplex,
  options: { readonly bytesPerSecond: number; readonly forMs: number },
): Promise<string> {
  const { bytesPerSecond, forMs } = options;
  const hash = createHash("sha256");
  let takenBytes = 0;
  let dueBytes = 0;
  duplex.on("readable", () => {});
  const startedAt = performance.now();
  for (let elapsedMs = 0; elapsedMs < forMs; elapsedMs = performance.now() - startedAt) {
    dueBytes = Math.floor((bytesPerSecond * elapsedMs) / 1_000);
    const nowBytes = Math.min(dueBytes - takenBytes, duplex.readableLength);
    const chunk: Buffer | null = nowBytes > 0 ? duplex.read(nowBytes) : null;
    if (chunk !== null) hash.update(chunk);
    takenBytes += chunk?.length ?? 0;
    if (duplex.destroyed) throw new Error(`broken after ${takenBytes} bytes and ${elapsedMs} ms`);
    await sleep(stepMs);
  }
  // Of what was due when it was last asked: where this process stands still it asks for nothing.
  if (takenBytes < dueBytes * 0.9) throw new Error(`only ${takenBytes} bytes of ${dueBytes} in ${forMs} ms`);
  duplex.removeAllListeners("readable");
  duplex.on("data", (chunk: Buffer) => hash.update(chunk));
  await within(restWithinMs, "the end of the transfer", once(duplex.resume(), "end"));
  return hash.digest("hex");
}

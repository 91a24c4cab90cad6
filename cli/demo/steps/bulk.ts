import { bytesText, rateText } from "../screen.ts";
import { protocolNames, protocols, type Stage } from "../stage.ts";
import { type Direction, transfer } from "../transfer.ts";

const directions: readonly Direction[] = ["down", "up"];
/** A transfer slower than this counts as stuck. */
const slowestBytesPerMs = 2_000;
const baseMs = 20_000;

/** Moves the same amount down and up by both protocols, with digests and rates. */
export async function bulk(stage: Stage): Promise<void> {
  const { story, screen, sizeBytes } = stage;
  const size = bytesText(sizeBytes);
  story.chapter(`${size} each way, HTTPS from end to end`);
  for (const protocol of protocols) {
    for (const direction of directions) {
      const label = `${protocolNames[protocol]}, ${direction}`;
      const step = {
        label,
        expected: `${size} with the same SHA-256 at both ends`,
        withinMs: baseMs + sizeBytes / slowestBytesPerMs,
      };
      await story.tell(step, async (signal) => {
        const onProgress = (doneBytes: number, elapsedMs: number) =>
          screen.progress(label, { doneBytes, totalBytes: sizeBytes, elapsedMs });
        const { digest, elapsedMs } = await transfer(stage, protocol, direction, { onProgress, signal });
        return {
          result: `SHA-256 ${digest.slice(0, 16)}… at both ends`,
          figure: rateText(sizeBytes, elapsedMs),
        };
      });
    }
  }
}

import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

const resolutionMs = 10;
const triesMax = 3;

/**
 * How long this process stood still: without a core on a busy machine, on a machine that stood still itself, or at work. What was measured
 * here meanwhile may be too long by that.
 */
export class Standstill {
  readonly #delay = monitorEventLoopDelay({ resolution: resolutionMs });

  constructor() {
    this.#delay.enable();
  }

  /** Resolves to the longest so far, in milliseconds, and looks no further. */
  async end(): Promise<number> {
    // What it waits for may come before its own timer does.
    await sleep(2 * resolutionMs);
    this.#delay.disable();
    // Node counts the time between two looks along.
    return Math.max(0, this.#delay.max / 1_000_000 - resolutionMs);
  }
}

/** Resolves to the milliseconds until `work` is done, less the longest for which this process stood still meanwhile. */
export async function timeOf(work: Promise<unknown>): Promise<number> {
  const standstill = new Standstill();
  const startedAt = performance.now();
  await work;
  const tookMs = performance.now() - startedAt;
  return Math.max(0, tookMs - (await standstill.end()));
}

/**
 * The least of three times in milliseconds, or the first below the limit. For what takes as long as it takes at each try, where load only
 * adds. Each that is over the limit is printed.
 */
export async function leastOf(limitMs: number, what: string, measure: () => Promise<number>): Promise<number> {
  let leastMs = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < triesMax && leastMs >= limitMs; tries++) {
    const tookMs = await measure();
    if (tookMs >= limitMs)
      process.stdout.write(`${what}: ${tookMs.toFixed(0)} ms at try ${tries + 1} of ${triesMax}\n`);
    leastMs = Math.min(leastMs, tookMs);
  }
  return leastMs;
}

import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

const resolutionMs = 10;

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
    return this.#delay.max / 1_000_000;
  }
}

/** Resolves to the milliseconds until `work` is done, less the longest for which this process stood still meanwhile. */
export async function timeOf(work: Promise<unknown>): Promise<number> {
  const standstill = new Standstill();
  const startedAt = performance.now();
  await work;
  const tookMs = performance.now() - startedAt;
  return tookMs - (await standstill.end());
}

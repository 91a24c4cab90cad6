import type { Random } from "../../shared/clock.ts";

const factor = 1.5;
const jitterShare = 0.1;

/** The reference's waits between attempts: `base`, then half as much again each time up to `cap`, each with up to 10 % on top. */
export class Backoff {
  readonly #random: Random;
  readonly #baseMs: number;
  readonly #capMs: number;
  #stepMs: number;

  constructor(deps: { readonly random: Random }, options: { readonly baseMs: number; readonly capMs: number }) {
    this.#random = deps.random;
    this.#baseMs = options.baseMs;
    this.#capMs = options.capMs;
    this.#stepMs = options.baseMs;
  }

  /** After success: the base, jittered. */
  reset(): number {
    this.#stepMs = this.#baseMs;
    return this.#jittered(this.#baseMs);
  }

  /** After failure: the present step, jittered; the next is longer. */
  next(): number {
    const waitMs = this.#jittered(this.#stepMs);
    this.#stepMs = Math.min(this.#stepMs * factor, this.#capMs);
    return waitMs;
  }

  #jittered(ms: number): number {
    return ms * (1 + jitterShare * this.#random());
  }
}

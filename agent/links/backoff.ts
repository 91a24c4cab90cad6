import type { Random } from "../../shared/clock.ts";

const factor = 1.5;
const jitterShare = 0.1;

/** Waits between attempts, as the reference's: `base`, then half as much again each time up to `cap`, each with up to 10 % on top. */
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

  /** As `reset`, and as long on average, but anything between a tenth of the base and nearly twice of it: who waits so falls out of step with others. */
  scatter(): number {
    this.#stepMs = this.#baseMs;
    return this.#baseMs * (jitterShare + 2 * (1 - jitterShare) * this.#random());
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

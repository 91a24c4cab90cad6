import type { Clock } from "../../shared/clock.ts";
import type { Verdict } from "./token-review.ts";

const entriesMax = 10_000;

/** Verdicts by key, each for its own time; past 10,000 of them the oldest goes. */
export class VerdictCache {
  readonly #clock: Clock;
  /** In the order in which they came. */
  readonly #entries = new Map<string, { readonly verdict: Verdict; readonly until: number }>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Verdict | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.until > this.#clock.now()) return entry.verdict;
    this.#entries.delete(key);
    return undefined;
  }

  /** Keeps the verdict for `lifeMs`, or not at all if that is 0 or less. */
  set(key: string, verdict: Verdict, lifeMs: number): void {
    this.#entries.delete(key);
    if (lifeMs <= 0) return;
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= entriesMax && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(key, { verdict, until: this.#clock.now() + lifeMs });
  }
}

import type { Clock } from "./clock.ts";

const newsEveryMs = 10_000;

/** Events of one kind, which may come by the thousand: one in 10 s is news and worth a line in the log. */
export class News {
  readonly #clock: Clock;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Call it once for each event. */
  isNews(): boolean {
    const now = this.#clock.now();
    if (now < this.#nextAt) return false;
    this.#nextAt = now + newsEveryMs;
    return true;
  }
}

import type { Clock } from "./clock.ts";
import type { DialSignal } from "./dial-signal.ts";

/** An AbortController, or a DialController. */
interface Controller {
  readonly signal: DialSignal;
  abort(reason: unknown): void;
}

export interface CancellationOptions<C extends Controller> {
  /** By which it ends the work. */
  readonly controller: C;
  /** Its abort is passed on. */
  readonly signal: DialSignal | undefined;
  readonly limitMs: number;
  /** Why all ends when `limitMs` are over. */
  readonly lateReason: (limitMs: number) => unknown;
}

/**
 * Ends work early for any of three reasons: the caller's signal aborts, its time is over, or whoever has the `controller` says so.
 * `release` it when the work is over.
 */
export class Cancellation<C extends Controller> {
  readonly controller: C;
  readonly #clock: Clock;
  readonly #options: CancellationOptions<C>;
  readonly #abort = () => this.controller.abort(this.#options.signal?.reason);
  #stopTimer: () => void;

  constructor(deps: { readonly clock: Clock }, options: CancellationOptions<C>) {
    this.controller = options.controller;
    this.#clock = deps.clock;
    this.#options = options;
    this.#stopTimer = this.#arm(options.limitMs);
    if (options.signal?.aborted) this.#abort();
    else options.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  get signal(): C["signal"] {
    return this.controller.signal;
  }

  /** Grants `limitMs` from now on, in place of what is left. */
  restart(limitMs: number): void {
    this.#stopTimer();
    this.#stopTimer = this.#arm(limitMs);
  }

  release(): void {
    this.#stopTimer();
    this.#options.signal?.removeEventListener("abort", this.#abort);
  }

  #arm(limitMs: number): () => void {
    return this.#clock.after(limitMs, () => this.controller.abort(this.#options.lateReason(limitMs)));
  }
}

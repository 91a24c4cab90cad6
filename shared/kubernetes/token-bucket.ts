import type { Clock } from "../clock.ts";
import { KubernetesError } from "./api.ts";

/**
 * Spreads calls: `burst` of them at once, `perSecond` in the long run. Each call takes a token when it comes, also one that
 * does not exist yet, and waits until it does; so calls go in the order in which they came.
 */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  /** Below 0 when calls wait. */
  #tokens: number;
  #filledAt: number;

  /** `perSecond` below 0 means no limit, else both are above 0. */
  constructor(
    deps: { readonly clock: Clock },
    { perSecond, burst }: { readonly perSecond: number; readonly burst: number },
  ) {
    this.#clock = deps.clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filledAt = deps.clock.now();
  }

  /**
   * Resolves when a call may go. Rejects with a KubernetesError at once if that takes longer than `maxWaitMs`, so that
   * waiting calls are bounded; with the signal's reason when it aborts. What was not used is given back.
   */
  async take({ maxWaitMs, signal }: { readonly maxWaitMs: number; readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    if (this.#perSecond < 0) return;
    this.#fill();
    const waitMs = ((1 - this.#tokens) * 1000) / this.#perSecond;
    if (waitMs > maxWaitMs) {
      throw new KubernetesError(0, "", "too many calls to kube-apiserver wait already: see --kubeconfig-qps");
    }
    this.#tokens -= 1;
    if (waitMs > 0) await this.#wait(waitMs, signal);
  }

  #fill(): void {
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#filledAt) * this.#perSecond) / 1000);
    this.#filledAt = now;
  }

  #wait(waitMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        cancel();
        this.#tokens += 1;
        reject(signal.reason);
      };
      const cancel = this.#clock.after(waitMs, () => {
        signal.removeEventListener("abort", abort);
        resolve();
      });
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}

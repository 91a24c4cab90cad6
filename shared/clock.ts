/** Time and timers as a parameter, so that tests turn them by hand. Milliseconds throughout. */
export interface Clock {
  /** Monotonic. */
  now(): number;
  /** Runs `callback` once after `delayMs`. The returned function cancels it; cancelling twice is fine. */
  after(delayMs: number, callback: () => void, options?: { readonly keepAlive?: boolean }): () => void;
}

/** The real clock. Timers do not keep the process alive unless asked to: what they guard does. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, callback, options) {
    const timer = setTimeout(callback, delayMs);
    if (options?.keepAlive !== true) timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Uniform in [0, 1). */
export type Random = () => number;

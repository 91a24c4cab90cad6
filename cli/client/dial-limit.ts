import type { Clock } from "../../shared/clock.ts";
import { ProxyError } from "../../shared/errors.ts";

export interface DialLimit {
  /** Aborts with the caller's reason, or with a ProxyError `dial_timeout`. */
  readonly signal: AbortSignal;
  /** Ends the wait; the signal does not abort for the time any more. */
  stop(): void;
}

/** Bounds one wait by time and by the caller's signal. */
export function limitDial(clock: Clock, timeoutMs: number, signal: AbortSignal): DialLimit {
  const late = new AbortController();
  const stop = clock.after(
    timeoutMs,
    () => late.abort(new ProxyError("dial_timeout", `the proxy server did not answer the dial within ${timeoutMs} ms`)),
    { keepAlive: true },
  );
  return { signal: AbortSignal.any([signal, late.signal]), stop };
}

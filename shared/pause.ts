import type { Clock } from "./clock.ts";

/** Resolves after `delayMs`, or as soon as `signal` aborts. Never rejects. Keeps the process alive if asked to. */
export function pause(
  clock: Clock,
  delayMs: number,
  options: { readonly signal: AbortSignal; readonly keepAlive?: boolean },
): Promise<void> {
  const { signal, keepAlive = false } = options;
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const cancel = clock.after(delayMs, done, { keepAlive });
    function done(): void {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}

import { setTimeout as sleep } from "node:timers/promises";

const pollEveryMs = 20;

/**
 * Asks for a state of another process until `read` returns something else than undefined or false, and resolves to that.
 * A throw counts as "not yet". Rejects after `withinMs` with what was waited for, the last thing that `describe` says
 * and the last throw as cause; rejects with the signal's reason as soon as it aborts.
 */
export async function until<T>(
  what: string,
  read: () => T | undefined | false | Promise<T | undefined | false>,
  options: { readonly withinMs: number; readonly signal?: AbortSignal; readonly describe?: () => string },
): Promise<T> {
  const deadline = performance.now() + options.withinMs;
  let cause: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const value = await read();
      if (value !== undefined && value !== false) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= deadline) break;
    await sleep(pollEveryMs);
  }
  const detail = options.describe === undefined ? "" : `\n${options.describe()}`;
  throw new Error(`${what}: not within ${options.withinMs} ms${detail}`, { cause });
}

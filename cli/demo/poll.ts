import { setTimeout as sleep } from "node:timers/promises";

const pollEveryMs = 20;

/**
 * Asks another process for a state, again and again, until `read` brings something else than undefined. A refused connection counts
 * as "not yet". Rejects with the signal's reason.
 */
export async function poll<T>(
  read: () => Promise<T | undefined>,
  { signal }: { readonly signal: AbortSignal },
): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const value = await read().catch(unlessRefused);
    if (value !== undefined) return value;
    await sleep(pollEveryMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

function unlessRefused(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ECONNREFUSED" && error.code !== "ECONNRESET") throw error;
}

/**
 * Resolves when everything that this turn of the event loop has set off by promises and ticks has come to rest. What is
 * made of memory alone is quiet then; what waits for a socket is not.
 */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

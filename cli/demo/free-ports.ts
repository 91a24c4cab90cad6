import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { UsageError } from "../../shared/errors.ts";

// The server takes no port above 49151, and below 32768 Linux gives none away by itself between choice and use.
const firstPort = 20_000;
const portCount = 12_000;
const attemptsMax = 200;

/** Chooses ports for processes that are about to start, none of them twice: the one before may not listen yet. */
export class FreePorts {
  readonly #given = new Set<number>();

  /** A TCP port that nothing listens on at 127.0.0.1 now. Throws UsageError if none turns up. */
  async next(): Promise<number> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const port = firstPort + randomInt(portCount);
      if (this.#given.has(port) || !(await isFree(port))) continue;
      this.#given.add(port);
      return port;
    }
    throw new UsageError(`no free port found between ${firstPort} and ${firstPort + portCount - 1} on 127.0.0.1`);
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

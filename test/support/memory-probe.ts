import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ManagedProcess } from "./managed-process.ts";
import { repositoryRoot } from "./repository-root.ts";
import { within } from "./within.ts";

/** In bytes. `rss` is what the system counts, with what V8 keeps for later. */
export interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
}

const answerWithinMs = 30_000;
const path = join(repositoryRoot, "test", "support", "memory-probe.mjs");

/** The environment of a Node process that `memoryAfterGc` is to ask. */
export const memoryProbe = { NODE_OPTIONS: `--import=${pathToFileURL(path)}` };

/** What a process that was started with `memoryProbe` holds once its garbage is gone. */
export function memoryAfterGc(child: ManagedProcess): Promise<Memory> {
  const answer = new Promise<Memory>((resolve) => {
    let asked = false;
    child.follow((line) => {
      if (asked && line.startsWith('{"memory":')) resolve((JSON.parse(line) as { readonly memory: Memory }).memory);
    });
    asked = true;
    child.kill("SIGUSR2");
  });
  return within(answerWithinMs, `${child.name}: memory after GC`, answer);
}

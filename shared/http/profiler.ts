import type { Session } from "node:inspector/promises";
import type { Clock } from "../clock.ts";
import { pause } from "../pause.ts";

/** How each kind begins, and how it ends, which brings the profile. */
const kinds = {
  cpu: {
    async begin(session: Session): Promise<void> {
      await session.post("Profiler.enable");
      await session.post("Profiler.start");
    },
    end: (session: Session) => session.post("Profiler.stop"),
  },
  // By sampling only: a snapshot of the heap would hold every key and token in it.
  heap: {
    begin: (session: Session) => session.post("HeapProfiler.startSampling"),
    end: (session: Session) => session.post("HeapProfiler.stopSampling"),
  },
} as const;

export type ProfileKind = keyof typeof kinds;

/** Takes profiles of this process, one at a time: two would measure each other. */
export class Profiler {
  readonly #deps: { readonly clock: Clock };
  #busy = false;

  constructor(deps: { readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** Whether a profile is being taken. */
  get busy(): boolean {
    return this.#busy;
  }

  /**
   * Takes a profile of so many seconds, or until `signal` aborts. Resolves to it as Node's tools read it: the JSON of a
   * `.cpuprofile` or `.heapprofile` file. Throws if it is busy.
   */
  async take(kind: ProfileKind, options: { readonly seconds: number; readonly signal: AbortSignal }): Promise<string> {
    if (this.#busy) throw new Error("a profile is being taken");
    this.#busy = true;
    try {
      return await this.#take(kind, options);
    } finally {
      this.#busy = false;
    }
  }

  async #take(
    kind: ProfileKind,
    { seconds, signal }: { readonly seconds: number; readonly signal: AbortSignal },
  ): Promise<string> {
    // Loaded only where it is used: an agent lives in 30 MiB.
    const { Session } = await import("node:inspector/promises");
    const session = new Session();
    session.connect();
    try {
      await kinds[kind].begin(session);
      await pause(this.#deps.clock, seconds * 1000, { signal });
      const { profile } = await kinds[kind].end(session);
      return JSON.stringify(profile);
    } finally {
      // This also ends what it has begun.
      session.disconnect();
    }
  }
}

import { setMaxListeners } from "node:events";
import type { Clock } from "../../shared/clock.ts";
import { durationText, type Screen } from "./screen.ts";

/** What a step shows when it came out right. Without a figure the time it took is shown. */
export interface Outcome {
  readonly result: string;
  readonly figure?: string;
  /** Somebody else's words, shown below. */
  readonly detail?: string;
}

/** A step came out wrong. `message` says what came instead of what was expected. */
export class Mismatch extends Error {
  override readonly name = "Mismatch";
}

/** Thrown once a failed step has been shown: nothing more is to be told. */
export class StoryEnded extends Error {
  override readonly name = "StoryEnded";
}

/** One line of the story. */
export interface Step {
  readonly label: string;
  /** Shown if something else comes. */
  readonly expected: string;
  /** After this long it has failed. */
  readonly withinMs?: number;
}

/** Many times what a step takes: it may have little of a machine for it. */
const stepWithinMs = 60_000;

/** Carries out steps one after the other and shows each; the first that fails ends it. */
export class Story {
  readonly #screen: Screen;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  /** `signal` ends the step that runs; its reason is then thrown, and nothing is shown. */
  constructor(deps: { readonly screen: Screen; readonly clock: Clock; readonly signal: AbortSignal }) {
    this.#screen = deps.screen;
    this.#clock = deps.clock;
    this.#signal = deps.signal;
  }

  chapter(title: string): void {
    this.#screen.heading(title);
  }

  /**
   * Runs one step and shows how it came out. `work` has to end when its signal aborts.
   * Throws StoryEnded after a failure, and the signal's reason.
   */
  async tell(step: Step, work: (signal: AbortSignal) => Promise<Outcome>): Promise<void> {
    const { label, expected, withinMs = stepWithinMs } = step;
    const late = new AbortController();
    const signal = AbortSignal.any([this.#signal, late.signal]);
    // A step may wait for hundreds of things at once.
    setMaxListeners(0, signal);
    const stop = this.#clock.after(withinMs, () =>
      late.abort(new Mismatch(`nothing within ${durationText(withinMs)}`)),
    );
    const startedAt = this.#clock.now();
    try {
      const { result, figure, detail } = await work(signal);
      this.#screen.passed(label, result, figure ?? durationText(this.#clock.now() - startedAt), detail);
    } catch (error) {
      this.#signal.throwIfAborted();
      // What a Mismatch says is more than that the time is up; any other error may be only how the step was ended.
      const came = late.signal.aborted && !(error instanceof Mismatch) ? late.signal.reason : error;
      this.#screen.failed(label, expected, describe(came));
      throw new StoryEnded(label, { cause: error });
    } finally {
      stop();
    }
  }
}

/** A system error's text does not always hold its code. */
function describe(error: Error & { readonly code?: unknown }): string {
  const code = typeof error.code === "string" && !error.message.includes(error.code) ? ` (${error.code})` : "";
  return `${error.message}${code}`;
}

/** Throws a Mismatch that shows what came, unless it is what was expected. */
export function expectEqual(what: string, came: unknown, expected: unknown): void {
  if (came !== expected) throw new Mismatch(`${what} ${came} instead of ${expected}`);
}

/** Compares the digest of what was sent with that of what arrived. Throws a Mismatch that shows both. */
export function expectEqualDigests(sent: string, arrived: string | undefined): void {
  if (sent === arrived) return;
  throw new Mismatch(`bytes were changed on the way: sent SHA-256 ${sent}, arrived SHA-256 ${arrived ?? "none"}`);
}

import type { Clock } from "../../shared/clock.ts";

/** How long an agent may leave all that it was asked unanswered before it is probed, and then a probe. */
const patienceMs = 2_000;
/** A timer that comes later than this means that this process stood still, and has not read what the agent said meanwhile. */
const lateMs = 250;

export interface ProgressWatchDeps {
  readonly clock: Clock;
  /** Dials that wait for this agent's answer. */
  readonly pendingDials: () => number;
  /** Sends what a working agent answers at once. */
  readonly probe: () => void;
}

/**
 * Tells an agent that does not answer from one whose dials take their time: while dials wait and nothing has been answered for
 * two seconds, it is probed; if it leaves that unanswered for as long, it is silent, until it answers anything. The dials that
 * wait then are given up, and those that it gets while it is silent at its next probe. That its connection lives says nothing: an
 * agent can be stuck behind a connection that answers every ping.
 */
export class ProgressWatch {
  readonly #deps: ProgressWatchDeps;
  readonly #onSilent: () => void;
  readonly #giveUp: () => void;
  readonly #onAnswering: () => void;
  #silent = false;
  #probed = false;
  #cancelTimer: (() => void) | undefined;

  constructor(
    deps: ProgressWatchDeps,
    options: {
      readonly onSilent: () => void;
      /** The dials that wait now are not to wait any longer. */
      readonly giveUp: () => void;
      readonly onAnswering: () => void;
    },
  ) {
    this.#deps = deps;
    this.#onSilent = options.onSilent;
    this.#giveUp = options.giveUp;
    this.#onAnswering = options.onAnswering;
  }

  /** A dial was sent. */
  asked(): void {
    if (this.#cancelTimer === undefined) this.#wait();
  }

  /** The agent has answered a dial or a probe, or done something else that one that is stuck does not. */
  answered(): void {
    this.stop();
    this.#probed = false;
    if (this.#silent) {
      this.#silent = false;
      this.#onAnswering();
    }
    if (this.#deps.pendingDials() > 0) this.#wait();
  }

  /** Watches no more until the next dial. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #wait(): void {
    const dueAt = this.#deps.clock.now() + patienceMs;
    this.#cancelTimer = this.#deps.clock.after(patienceMs, () => {
      const overMs = this.#deps.clock.now() - dueAt;
      if (overMs > lateMs) this.#cancelTimer = this.#deps.clock.after(overMs, () => this.#overdue());
      else this.#overdue();
    });
  }

  #overdue(): void {
    this.#cancelTimer = undefined;
    if (this.#probed && !this.#silent) {
      this.#silent = true;
      this.#onSilent();
    }
    if (this.#silent && this.#deps.pendingDials() > 0) this.#giveUp();
    // A silent agent has to be asked, since it is given no dials to answer.
    if (!this.#silent && this.#deps.pendingDials() === 0) {
      this.#probed = false;
      return;
    }
    this.#probed = true;
    this.#deps.probe();
    this.#wait();
  }
}

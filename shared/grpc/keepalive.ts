import type { Clock } from "../clock.ts";

/** When to ask a silent peer for a sign of life, and when to stop waiting for one. */
export interface KeepaliveOptions {
  /** Silence after which a PING goes out, and again each time that this has passed without a byte. */
  readonly intervalMs: number;
  /**
   * Silence after which the peer is given up. Where it is not longer than the interval, as in gRPC's own option of
   * that name, it counts from the first unanswered PING.
   */
  readonly timeoutMs: number;
}

/** A sample of the received bytes is taken this often in the shorter of the two times, */
const samplesPerPeriod = 4;
/** and no less often than this: the peer is given up late by the time between two samples. */
const sampleMaxMs = 500;

/**
 * How long a peer has been silent, from the count of bytes that its socket received. A byte is as old as the sample
 * that first saw it, so the answer is short by at most the time between two samples. PING callbacks are not used:
 * on a session whose peer has vanished they do not run.
 */
export class Liveness {
  readonly #clock: Clock;
  readonly #bytesRead: () => number;
  #seenBytes: number;
  #seenAt: number;

  constructor(clock: Clock, bytesRead: () => number) {
    this.#clock = clock;
    this.#bytesRead = bytesRead;
    this.#seenBytes = bytesRead();
    this.#seenAt = clock.now();
  }

  silentMs(): number {
    const now = this.#clock.now();
    const bytes = this.#bytesRead();
    if (bytes !== this.#seenBytes) {
      this.#seenBytes = bytes;
      this.#seenAt = now;
    }
    return now - this.#seenAt;
  }

  /** Takes back silence that was this process's own doing. */
  forgive(silentMs: number): void {
    this.#seenAt += silentMs;
  }
}

/** Pings a silent peer and gives it up in the end. Works until `stop`. */
export class Keepalive {
  readonly #clock: Clock;
  readonly #liveness: Liveness;
  readonly #ping: () => void;
  readonly #giveUp: (silentMs: number) => void;
  readonly #intervalMs: number;
  readonly #limitMs: number;
  readonly #tickMs: number;
  #lastTickAt: number;
  #lastPingAt: number;
  #cancelTimer: () => void;

  constructor(
    deps: {
      readonly clock: Clock;
      readonly liveness: Liveness;
      readonly ping: () => void;
      readonly giveUp: (silentMs: number) => void;
    },
    options: KeepaliveOptions,
  ) {
    this.#clock = deps.clock;
    this.#liveness = deps.liveness;
    this.#ping = deps.ping;
    this.#giveUp = deps.giveUp;
    const { intervalMs, timeoutMs } = options;
    this.#intervalMs = intervalMs;
    this.#limitMs = timeoutMs > intervalMs ? timeoutMs : intervalMs + timeoutMs;
    this.#tickMs = Math.max(1, Math.min(intervalMs / samplesPerPeriod, timeoutMs / samplesPerPeriod, sampleMaxMs));
    this.#lastTickAt = this.#clock.now();
    this.#lastPingAt = this.#lastTickAt;
    this.#cancelTimer = this.#clock.after(this.#tickMs, () => this.#tick());
  }

  stop(): void {
    this.#cancelTimer();
  }

  #tick(): void {
    const now = this.#clock.now();
    // A timer that comes late means that this process stood still (stopped, starved, a virtual machine moved). What
    // the peer sent meanwhile is read after the timers, so that time is not held against it.
    const lateMs = now - this.#lastTickAt - this.#tickMs;
    if (lateMs > this.#tickMs) this.#liveness.forgive(lateMs);
    this.#lastTickAt = now;

    const silentMs = this.#liveness.silentMs();
    if (silentMs >= this.#limitMs) {
      this.#giveUp(silentMs);
      return;
    }
    if (silentMs >= this.#intervalMs && now - this.#lastPingAt >= this.#intervalMs) {
      this.#lastPingAt = now;
      this.#ping();
    }
    this.#cancelTimer = this.#clock.after(this.#tickMs, () => this.#tick());
  }
}

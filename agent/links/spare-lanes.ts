import type { Clock } from "../../shared/clock.ts";
import type { LaneCounts } from "../../shared/tunnel/lane-state.ts";

/** How many lanes are kept spare: so many at least, an eighth of those in use, so many at most. */
const sparesMin = 4;
const sparesMax = 64;
const sparesShare = 8;
/** Lanes of one link, whatever the server says that it wants. */
export const lanesMax = 20_000;
/** Lanes that nobody needed for so long are closed. */
const surplusAfterMs = 30_000;
/** After a lane could not be opened, or was ended by the server before it was of use: else each would be followed by the next at once. */
const retryAfterMs = 1_000;

/**
 * Decides how many lanes a link has: a few more than it needs now, so that a dial finds one open, and more at once when the
 * server says that dials wait.
 */
export class SpareLanes<Lane> {
  readonly #clock: Clock;
  readonly #open: () => void;
  readonly #close: (lane: Lane) => void;
  /** Longest idle first. */
  readonly #idle = new Set<Lane>();
  /** Those of them that have carried nothing yet. */
  readonly #unused = new Set<Lane>();
  #busyCount = 0;
  #openingCount = 0;
  /** The fewest that were idle at once since the last look: the rest of the idle ones have been of use. */
  #leastIdle = 0;
  #started = false;
  #cancelLook: () => void = () => {};
  #cancelRetry: () => void = () => {};

  constructor(clock: Clock, lanes: { readonly open: () => void; readonly close: (lane: Lane) => void }) {
    this.#clock = clock;
    this.#open = lanes.open;
    this.#close = lanes.close;
  }

  get counts(): LaneCounts {
    return { inUse: this.#busyCount, spare: this.#idle.size };
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#lookLater();
    this.#fill();
  }

  stop(): void {
    this.#started = false;
    this.#cancelLook();
    this.#cancelRetry();
  }

  /** So many dials wait for a lane. */
  wanted(count: number): void {
    this.#openMore(count + this.#target - this.#idle.size - this.#openingCount);
  }

  opened(lane: Lane): void {
    this.#openingCount -= 1;
    this.#idle.add(lane);
    this.#unused.add(lane);
  }

  failed(): void {
    this.#openingCount -= 1;
    this.#fillLater();
  }

  busy(lane: Lane): void {
    if (!this.#idle.delete(lane)) return;
    this.#unused.delete(lane);
    this.#busyCount += 1;
    this.#leastIdle = Math.min(this.#leastIdle, this.#idle.size);
    this.#fill();
  }

  idle(lane: Lane): void {
    this.#busyCount -= 1;
    this.#idle.add(lane);
  }

  closed(lane: Lane): void {
    if (!this.#idle.delete(lane)) this.#busyCount -= 1;
    if (this.#unused.delete(lane)) this.#fillLater();
    else this.#fill();
  }

  get #target(): number {
    return Math.min(sparesMax, Math.max(sparesMin, Math.ceil(this.#busyCount / sparesShare)));
  }

  #fill(): void {
    this.#openMore(this.#target - this.#idle.size - this.#openingCount);
  }

  #fillLater(): void {
    if (!this.#started) return;
    this.#cancelRetry();
    this.#cancelRetry = this.#clock.after(retryAfterMs, () => this.#fill());
  }

  #openMore(wanted: number): void {
    if (!this.#started) return;
    const count = Math.min(wanted, lanesMax - this.#idle.size - this.#busyCount - this.#openingCount);
    for (let opened = 0; opened < count; opened++) {
      this.#openingCount += 1;
      this.#open();
    }
  }

  #lookLater(): void {
    this.#leastIdle = this.#idle.size;
    this.#cancelLook = this.#clock.after(surplusAfterMs, () => {
      const surplus = this.#leastIdle - this.#target;
      for (const lane of [...this.#idle].slice(0, Math.max(0, surplus))) {
        // Until it has closed it counts as one that is in use.
        this.#idle.delete(lane);
        this.#busyCount += 1;
        this.#close(lane);
      }
      this.#lookLater();
    });
  }
}

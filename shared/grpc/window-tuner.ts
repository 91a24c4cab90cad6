import type { Http2Session } from "node:http2";
import type { Clock } from "../clock.ts";
import { streamWindowBytes } from "./http2-options.ts";
import type { SettingsSender } from "./settings-sender.ts";

/** Bytes a second that one stream should reach over whatever round trip there is. */
const wantedBytesPerSecond = 300e6;
/** What a stalled stream may hold at its receiver where the round trip needs no more, and where it needs the most. */
export const streamWindowMinBytes = 256 * 1024;
const streamWindowMaxBytes = 16 * 1024 * 1024;
/** The same of all streams together, while it is under way: what a small message may have to wait behind. */
const connectionWindowMinBytes = 1024 * 1024;
const connectionWindowMaxBytes = 16 * 1024 * 1024;
/** Quickly at the start, for the least window is the usual one; more slowly until the round trip is sure; then now and then, since paths change. */
const firstPings = 8;
const firstEveryMs = 100;
const surePings = 16;
const soonEveryMs = 500;
const thenEveryMs = 15_000;
/** A window is changed when what it should be differs from what it is by a factor of this. */
const worthwhile = 1.25;

export interface Windows {
  readonly streamBytes: number;
  readonly connectionBytes: number;
}

/** What a sender can have under way in twice the round trip: a window is given back in the middle of it, not at its end. */
export function windowsFor(roundTripMs: number): Windows {
  const needed = (2 * wantedBytesPerSecond * roundTripMs) / 1000;
  const clamp = (min: number, max: number) => Math.round(Math.min(max, Math.max(min, needed)));
  return {
    streamBytes: clamp(streamWindowMinBytes, streamWindowMaxBytes),
    connectionBytes: clamp(connectionWindowMinBytes, connectionWindowMaxBytes),
  };
}

/**
 * Sizes what this end lets the peer send ahead by the shortest round trip that PINGs have shown: a small window holds little
 * for a reader that stalls, and a long path needs a large one. Works until `stop`.
 */
export class WindowTuner {
  readonly #clock: Clock;
  readonly #session: Http2Session;
  readonly #settings: SettingsSender;
  #pings = 0;
  #answers = 0;
  #present: Windows | undefined;
  #roundTripMs: number | undefined;
  #cancelTimer: () => void = () => {};

  constructor(deps: { readonly clock: Clock; readonly session: Http2Session; readonly settings: SettingsSender }) {
    this.#clock = deps.clock;
    this.#session = deps.session;
    this.#settings = deps.settings;
    this.#ping();
  }

  /** The shortest so far, in milliseconds; undefined until a PING was answered. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  stop(): void {
    this.#cancelTimer();
  }

  #ping(): void {
    if (this.#session.destroyed) return;
    this.#pings += 1;
    this.#session.ping((error, durationMs) => {
      if (error === null && !this.#session.destroyed) this.#measured(durationMs);
    });
    this.#cancelTimer = this.#clock.after(pauseAfter(this.#pings), () => this.#ping());
  }

  #measured(durationMs: number): void {
    this.#answers += 1;
    this.#roundTripMs = Math.min(durationMs, this.#roundTripMs ?? durationMs);
    const windows = windowsFor(this.#roundTripMs);
    const isGrowth = windows.streamBytes > (this.#present?.streamBytes ?? streamWindowBytes);
    // The first ones wait behind processes that begin, and what a reader that stalls meanwhile holds is not given back.
    if (isGrowth && this.#answers < surePings) return;
    if (this.#present !== undefined && !differs(this.#present, windows)) return;
    this.#present = windows;
    this.#settings.change({ initialWindowSize: windows.streamBytes });
    this.#session.setLocalWindowSize(windows.connectionBytes);
  }
}

function pauseAfter(pings: number): number {
  if (pings < firstPings) return firstEveryMs;
  return pings < surePings ? soonEveryMs : thenEveryMs;
}

function differs(one: Windows, other: Windows): boolean {
  const factor = one.streamBytes / other.streamBytes;
  const connectionFactor = one.connectionBytes / other.connectionBytes;
  return [factor, connectionFactor].some((value) => value > worthwhile || value < 1 / worthwhile);
}

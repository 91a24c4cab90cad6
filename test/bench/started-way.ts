import type { Scenario } from "./scenarios.ts";
import type { RunningWay, Way, WayPlace } from "./ways.ts";

/** A way that runs from its first use until `stop()`, and again from the next use on. */
export class StartedWay {
  readonly way: Way;
  /** Scenarios that have been measured since it started. */
  readonly measured = new Set<Scenario>();
  readonly #place: WayPlace;
  #running: Promise<RunningWay> | undefined;

  constructor(way: Way, place: WayPlace) {
    this.way = way;
    this.#place = place;
  }

  get running(): Promise<RunningWay> {
    this.#running ??= this.way.start(this.#place);
    return this.#running;
  }

  async stop(): Promise<void> {
    // One that did not start has left nothing, and has said why to whoever wanted it.
    const running = await this.#running?.catch(() => undefined);
    this.#running = undefined;
    this.measured.clear();
    await running?.stop();
  }
}

/** The ways of a whole run. One that several scenarios have, with the same delay in it, is one for them all. */
export class StartedWays {
  readonly #profiled: boolean;
  readonly #shared = new Map<Way, Map<number, StartedWay>>();

  constructor(profiled: boolean) {
    this.#profiled = profiled;
  }

  /** A scenario that wants its processes fresh gets one of its own, and stops that. */
  of(way: Way, { oneWayMs = 0, freshEachRound = false }: Scenario): StartedWay {
    const place = { oneWayMs, profiled: this.#profiled };
    if (freshEachRound) return new StartedWay(way, place);
    const byDelay = this.#shared.get(way) ?? new Map<number, StartedWay>();
    const started = byDelay.get(oneWayMs) ?? new StartedWay(way, place);
    this.#shared.set(way, byDelay.set(oneWayMs, started));
    return started;
  }

  async stop(): Promise<void> {
    for (const byDelay of this.#shared.values()) for (const started of byDelay.values()) await started.stop();
  }
}

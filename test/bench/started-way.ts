import type { Scenario } from "./scenarios.ts";
import type { RunningWay, Way, WayPlace } from "./ways.ts";

/** A way that runs from its first use until `stop()`, and again from the next use on. */
export class StartedWay {
  readonly way: Way;
  /** Nothing has been measured since it started. */
  isNew = true;
  readonly #place: WayPlace;
  #running: Promise<RunningWay> | undefined;

  constructor(way: Way, { oneWayMs = 0 }: Pick<Scenario, "oneWayMs">, profiled: boolean) {
    this.way = way;
    this.#place = { oneWayMs, profiled };
  }

  get running(): Promise<RunningWay> {
    this.#running ??= this.way.start(this.#place);
    return this.#running;
  }

  async stop(): Promise<void> {
    // One that did not start has left nothing, and has said why to whoever wanted it.
    const running = await this.#running?.catch(() => undefined);
    this.#running = undefined;
    this.isNew = true;
    await running?.stop();
  }
}

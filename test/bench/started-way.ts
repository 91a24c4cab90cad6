import { here } from "../support/processes.ts";
import type { Profiles } from "./profiles.ts";
import type { Scenario } from "./scenarios.ts";
import type { RunningWay, Way } from "./ways.ts";

/** A way that runs from its first use until `stop()`, and again from the next use on. */
export class StartedWay {
  readonly way: Way;
  /** Nothing has been measured since it started. */
  isNew = true;
  readonly #scenario: Pick<Scenario, "name" | "oneWayMs">;
  readonly #profiles: Profiles | undefined;
  #running: Promise<RunningWay> | undefined;

  constructor(way: Way, scenario: Pick<Scenario, "name" | "oneWayMs">, profiles?: Profiles) {
    this.way = way;
    this.#scenario = scenario;
    this.#profiles = profiles;
  }

  get running(): Promise<RunningWay> {
    const { name, oneWayMs = 0 } = this.#scenario;
    const ours = this.#profiles?.placesOf(name, this.way.name) ?? { server: here, agent: here };
    this.#running ??= this.way.start({ oneWayMs, ours });
    return this.#running;
  }

  async stop(): Promise<void> {
    // One that did not start has left nothing, and has said why to whoever wanted it.
    const running = await this.#running?.catch(() => undefined);
    this.#running = undefined;
    this.isNew = true;
    if (running?.halves !== undefined) await this.#profiles?.finish(running.halves);
    await running?.stop();
  }
}

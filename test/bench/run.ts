import type { GoEndpoints } from "../interop/go-endpoints.ts";
import type { Stretch } from "./load.ts";
import { quickRounds } from "./options.ts";
import type { Profiles } from "./profiles.ts";
import { type Sample, type ScenarioResult, type WayResult, wayResult } from "./results.ts";
import type { Scenario } from "./scenarios.ts";
import type { StartedWay, StartedWays } from "./started-way.ts";
import { digits } from "./statistics.ts";
import type { RunningWay } from "./ways.ts";

/** Before a scenario is measured on its processes for the first time a way is warmed up for so long: Node compiles what runs often, which takes it some thousand turns. */
export const firstWarmMs = 1_500;

export interface RunOptions {
  readonly endpoints: GoEndpoints;
  readonly rounds: number;
  readonly stretch: Stretch;
  readonly profiles?: Profiles;
}

/** Whether this way is measured in this round, counted from 1: some are there for orientation and need few. */
export function hasRound(scenario: Scenario, way: Scenario["ways"][number], round: number, rounds: number): boolean {
  return round <= Math.min(rounds, scenario.roundsMax ?? rounds, way.roundsMax ?? rounds);
}

/**
 * One process is a tenth faster than the next of the same program for as long as it lives: but for a quick run each way gets new ones in
 * every other round, so that this is in the spread of its rounds.
 */
export function hasNewProcesses(round: number, rounds: number): boolean {
  return round === 1 || (rounds > quickRounds && round % 2 === 1);
}

/**
 * One scenario with all its ways, which take turns in each round. A round in which something goes wrong costs the run nothing, and all ways
 * a restart, so that none goes on with older processes than another.
 */
export class ScenarioRun {
  readonly #scenario: Scenario;
  readonly #ways: readonly { readonly started: StartedWay; readonly rounds: (Sample | string)[] }[];

  constructor(scenario: Scenario, startedWays: StartedWays) {
    this.#scenario = scenario;
    this.#ways = scenario.ways.map((way) => ({ started: startedWays.of(way, scenario), rounds: [] }));
  }

  /** `round` counts from 1. */
  async run(
    round: number,
    { endpoints, rounds, stretch, profiles }: RunOptions,
    tell: (line: string) => void,
  ): Promise<void> {
    const scenario = this.#scenario;
    const ways = this.#ways.filter(({ started }) => hasRound(scenario, started.way, round, rounds));
    if (!scenario.freshEachRound) await Promise.all(ways.map(({ started }) => started.running.catch(() => {})));
    let hasFailed = false;
    for (const { started, rounds: own } of ways) {
      const warmMs = started.measured.has(scenario) ? stretch.warmMs : (scenario.firstWarmMs ?? firstWarmMs);
      const lengthMs = scenario.lengthMs ?? stretch.lengthMs;
      const whileMeasured = ({ profilePorts = {} }: RunningWay) =>
        profiles?.take(scenario.name, started.way.name, profilePorts, lengthMs);
      const sample = await measured(scenario, started, { endpoints, stretch: { lengthMs, warmMs }, whileMeasured });
      own.push(sample);
      hasFailed ||= typeof sample === "string" || sample.failures !== undefined;
      const figure = typeof sample === "string" ? sample : `${digits(sample.figure)} ${scenario.unit}`;
      tell(`${scenario.name}, ${started.way.name}: ${figure}`);
    }
    if (hasFailed) for (const { started } of ways) await started.stop();
  }

  result(): ScenarioResult {
    const results: Record<string, WayResult> = {};
    const missing: Record<string, string[]> = {};
    for (const { started, rounds: own } of this.#ways) {
      const result = wayResult(own);
      if (result !== undefined) results[started.way.name] = result;
      else missing[started.way.name] = own.map(String);
    }
    const { name, group, unit, better, work } = this.#scenario;
    const isWhole = Object.keys(missing).length === 0;
    return { name, group, unit, better, ...(work && { work }), ways: results, ...(!isWhole && { missing }) };
  }
}

async function measured(
  scenario: Scenario,
  started: StartedWay,
  stage: Parameters<Scenario["measure"]>[1],
): Promise<Sample | string> {
  try {
    const sample = await scenario.measure(await started.running, stage);
    if (scenario.freshEachRound) await started.stop();
    else started.measured.add(scenario);
    return sample;
  } catch (error) {
    const { message } = error as Error;
    process.stderr.write(`${message}\n`);
    return `failed: ${shortened(message)}`;
  }
}

/** Without the log of a process, which may stand behind or before what happened. */
function shortened(message: string): string {
  const lines = message.trim().split("\n");
  const [first = ""] = lines;
  return first.startsWith("---") ? lines.slice(-2).join(", ") : first;
}

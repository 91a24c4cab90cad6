import { beforeEach, describe, expect, test } from "vitest";
import type { Sample } from "../../bench/results.ts";
import { hasNewProcesses, type RunOptions, ScenarioRun } from "../../bench/run.ts";
import type { Scenario } from "../../bench/scenarios.ts";
import { StartedWays } from "../../bench/started-way.ts";
import type { Way } from "../../bench/ways.ts";

/** What was started, stopped and measured, in order. */
let events: string[];
let ways: StartedWays;
beforeEach(() => {
  events = [];
  ways = new StartedWays(false);
});

function way(name: string): Way {
  const start = async () => {
    events.push(`+${name}`);
    return { clientArgs: [name], stop: async () => void events.push(`-${name}`) };
  };
  return { name, start };
}

const [ours, theirs] = [way("ours"), way("theirs")];

/** `outcomes` of each measurement, in order; 1 where there is none. */
function scenario(name: string, outcomes: readonly (Partial<Sample> | Error)[] = [], rest: Partial<Scenario> = {}) {
  const left = [...outcomes];
  const made: Scenario = {
    name,
    group: "bulk",
    unit: "MB/s",
    better: "more",
    ways: [ours, theirs],
    measure: async ({ clientArgs }, { stretch }) => {
      events.push(`${name} ${clientArgs[0]} ${stretch.warmMs}`);
      const outcome = left.shift() ?? {};
      if (outcome instanceof Error) throw outcome;
      return { figure: 1, ...outcome };
    },
    ...rest,
  };
  return new ScenarioRun(made, ways);
}

const options = { rounds: 2, stretch: { warmMs: 5, lengthMs: 1 } } as RunOptions;
async function rounds(...runs: readonly ScenarioRun[]): Promise<string> {
  for (const round of [1, 2]) for (const run of runs) await run.run(round, options, () => {});
  return events.join(", ");
}

describe("the processes of a run", () => {
  test("carry all scenarios, each of them warmed up longer the first time", async () => {
    const story = await rounds(scenario("down"), scenario("up"));
    const first = ["+ours, +theirs", "down ours 1500, down theirs 1500", "up ours 1500, up theirs 1500"];
    const second = ["down ours 5, down theirs 5", "up ours 5, up theirs 5"];
    expect(story).toBe([...first, ...second].join(", "));
  });

  test.each([
    ["a failure", { failures: ["left open"] }],
    ["an error", new Error("lost")],
  ])("are those of all ways anew after %s of one", async (_what, outcome) => {
    const run = scenario("down", [outcome]);
    expect(await rounds(run, scenario("up"))).toMatch(
      /down theirs 1500, -ours, -theirs, \+ours, \+theirs, up ours 1500/,
    );
    expect(run.result().ways.ours?.failures).toHaveLength(1);
  });

  test("are its own where a scenario wants them fresh", async () => {
    const story = await rounds(scenario("down", [], { freshEachRound: true, ways: [ours] }));
    expect(story).toBe("+ours, down ours 1500, -ours, +ours, down ours 1500, -ours");
  });

  test("are new in every other round, but in a quick run", () => {
    const newIn = (of: number) =>
      Array.from({ length: of }, (_, index) => index + 1).filter((round) => hasNewProcesses(round, of));
    expect([newIn(5), newIn(3)]).toEqual([[1, 3, 5], [1]]);
  });
});

test("a way of which every round fails is missing, with what was said", async () => {
  const run = scenario("down", [new Error("lost"), new Error("late")], { ways: [ours] });
  await rounds(run);
  expect(run.result()).toMatchObject({ ways: {}, missing: { ours: ["failed: lost", "failed: late"] } });
});

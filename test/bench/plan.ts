import type { Stretch } from "./load.ts";
import type { Options } from "./options.ts";
import { comparisons } from "./results.ts";
import { firstWarmMs, hasNewProcesses, hasRound } from "./run.ts";
import { type Scenario, scenarios } from "./scenarios.ts";

const wholeStretch: Stretch = { warmMs: 500, lengthMs: 3_000 };
const quickStretch: Stretch = { warmMs: 300, lengthMs: 1_000 };

/** What is measured, and how long each time. */
export interface Plan {
  readonly scenarios: readonly Scenario[];
  readonly rounds: number;
  readonly stretch: Stretch;
}

/** Throws if nothing is left to measure. */
export function planOf({ mode, only, quick, rounds, profile }: Options): Plan {
  const isFew = quick || (profile && only === undefined);
  const chosen = scenarios
    .filter((scenario) => (!isFew || scenario.quick) && (only === undefined || only.test(scenario.name)))
    .map((scenario) => {
      if (profile) return { ...scenario, ways: scenario.ways.filter(isOurs) };
      if (mode === "again") return { ...scenario, ways: comparedWays(scenario) };
      if (!quick) return scenario;
      return { ...scenario, ways: comparedWays(scenario), firstWarmMs: scenario.firstWarmMs ?? 1_000 };
    })
    .filter(({ ways }) => ways.length > 0);
  if (chosen.length === 0) {
    throw new Error(
      `--only=${only?.source}: no such scenario; there are\n${scenarios.map(({ name }) => name).join("\n")}`,
    );
  }
  return { scenarios: chosen, rounds, stretch: quick ? quickStretch : wholeStretch };
}

const isOurs = ({ name }: Scenario["ways"][number]) => comparisons.some(({ ours }) => name === ours);
/** Both of each pair that the scenario has. */
function comparedWays({ ways }: Scenario): Scenario["ways"] {
  const has = (wanted: string) => ways.some(({ name }) => name === wanted);
  const pairs = comparisons.filter(({ ours, theirs }) => has(ours) && has(theirs));
  return ways.filter(({ name }) => pairs.some(({ ours, theirs }) => name === ours || name === theirs));
}

/** What a run of the plan takes about, without builds. */
export function expectedSeconds({ scenarios, rounds, stretch }: Plan): number {
  const [startSeconds, endSeconds] = [1, 0.5];
  let sum = 0;
  for (let round = 1; round <= rounds; round++) {
    /** Ways by name and delay, which scenarios share. */
    const started = new Set<string>();
    for (const scenario of scenarios) {
      const { freshEachRound = false, oneWayMs = 0, firstWarmMs: firstMs = firstWarmMs, moreSeconds = 0 } = scenario;
      for (const way of scenario.ways.filter((one) => hasRound(scenario, one, round, rounds))) {
        const key = `${way.name} ${oneWayMs}`;
        const isNew = freshEachRound || hasNewProcesses(round, rounds);
        if (freshEachRound || (isNew && !started.has(key))) sum += startSeconds;
        started.add(key);
        const warmMs = isNew ? firstMs : stretch.warmMs;
        sum += (warmMs + (scenario.lengthMs ?? stretch.lengthMs)) / 1_000 + endSeconds + moreSeconds;
      }
    }
  }
  return sum;
}

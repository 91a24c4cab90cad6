import { comparisons, ratioOf, ratiosByRound, type ScenarioResult } from "./results.ts";
import { digits } from "./statistics.ts";

/** What of the published ratio is to be reached at least: less is a loss that no busy machine explains, best of three. */
const shareMin = 0.7;
/** So many of its rounds may go wrong, on a machine that has other things to do; more are no accident. */
const failuresMax = 1;

export interface Verdict {
  readonly passed: boolean;
  readonly line: string;
}

/**
 * Holds the best round of each scenario and frontend against the published ratio. A ratio is of two measurements of the same
 * round, so that what else the machine did has befallen both. What was never published fails, and what went wrong more than once.
 */
export function verdicts(measured: readonly ScenarioResult[], published: readonly ScenarioResult[]): Verdict[] {
  return measured.flatMap((scenario) =>
    comparisons.map((comparison) => {
      const name = `${scenario.name}, ${comparison.frontend}`;
      const before = published.find((other) => other.name === scenario.name);
      const promised = before && ratioOf(before, comparison);
      if (promised === undefined) return { passed: false, line: `${name}: docs/performance.json has no ratio of it` };
      // A reference that did nothing in a round is no measure.
      const ratios = ratiosByRound(scenario, comparison).filter(Number.isFinite);
      const least = shareMin * promised;
      const failures = scenario.ways[comparison.ours]?.failures ?? [];
      const passed = ratios.length > 0 && Math.max(...ratios) >= least && failures.length <= failuresMax;
      const seen = ratios.length > 0 ? ratios.map(digits).join(", ") : "no round was measured";
      const wrong = failures.map((failure) => `; ${failure}`).join("");
      return { passed, line: `${name}: ${seen}; at least ${digits(least)}, published ${digits(promised)}${wrong}` };
    }),
  );
}

import type { Table } from "./figures.ts";
import {
  type Comparison,
  comparisons,
  cpuRatioOf,
  ratioOf,
  relayComparison,
  type ScenarioResult,
  workersComparison,
} from "./results.ts";
import { advantage, type Better, digits } from "./statistics.ts";

/** What Hawser is to be, as a bound for a figure of some scenarios. */
interface Aim {
  readonly what: string;
  readonly bound: number;
  readonly better: Better;
  reached(scenarios: readonly ScenarioResult[]): Reached[];
}

interface Reached {
  readonly where: string;
  readonly value: number;
}

type Measure = (scenario: ScenarioResult, comparison: Comparison) => number | undefined;

function aim(what: string, [better, bound]: readonly [Better, number], reached: Aim["reached"]): Aim {
  return { what, bound, better, reached };
}

/** Of each of the scenarios at each frontend where both were measured. */
function each(wanted: RegExp, of: Measure, among: readonly Comparison[] = comparisons): Aim["reached"] {
  return (scenarios) =>
    scenarios
      .filter(({ name }) => wanted.test(name))
      .flatMap((scenario) =>
        among.flatMap((comparison) => {
          const value = of(scenario, comparison);
          return value === undefined ? [] : [{ where: `${scenario.name}, ${comparison.frontend}`, value }];
        }),
      );
}

/** Hawser's figure in the one scenario to that in the other. */
function besideWithout(beside: string, without: string): Aim["reached"] {
  return (scenarios) =>
    comparisons.flatMap(({ frontend, ours }) => {
      const [loaded, free] = [beside, without].map((wanted) => scenarios.find(({ name }) => name === wanted));
      const [mine, other] = [loaded?.ways[ours]?.figure.median, free?.ways[ours]?.figure.median];
      if (loaded === undefined || mine === undefined || other === undefined) return [];
      return [{ where: `${beside}, ${frontend}`, value: advantage(mine, other, loaded.better) }];
    });
}

const oneOrSixteen = /^bulk (down|up) on (1|16)$/;
const shortDials = /^dial \+ echo \+ close, (1|32) at once$/;
const longPaths = / round trip$/;

export const aims: readonly Aim[] = [
  aim("bulk down, on 1 and 16: ratio", ["more", 2], each(/^bulk down on (1|16)$/, ratioOf)),
  aim("bulk up, on 1 and 16: ratio", ["more", 1.5], each(/^bulk up on (1|16)$/, ratioOf)),
  aim("bulk both ways at once: ratio", ["more", 1.5], each(/^bulk down on 32 and up on 32$/, ratioOf)),
  aim("bulk on 1 and 16: share of CPU", ["less", 0.5], each(oneOrSixteen, cpuRatioOf)),
  aim("bulk on 1 and 16: rate to the bare relay's", ["more", 0.8], each(oneOrSixteen, ratioOf, [relayComparison])),
  aim("echo on 1 and 64: ratio", ["more", 1.5], each(/^200 B echo on (1|64)$/, ratioOf)),
  aim("dials, 1 and 32 at once: ratio", ["more", 1.2], each(shortDials, ratioOf)),
  aim("dials, 1 and 32 at once: share of CPU", ["less", 0.8], each(shortDials, cpuRatioOf)),
  aim("p99 of an echo beside 4 downloads: ratio", ["more", 2], each(/^echo beside 4 bulk downloads$/, ratioOf)),
  aim(
    "dials beside 100 stalled readers: rate to that without",
    ["more", 0.9],
    besideWithout("dials and echoes beside 100 stalled readers", "dials and echoes beside 0 stalled readers"),
  ),
  aim("bulk at 10 and 50 ms: ratio", ["more", 1], each(longPaths, ratioOf)),
  aim(
    "bulk at 10 and 50 ms: rate to a bare TLS connection's",
    ["more", 0.9],
    each(longPaths, ratioOf, [relayComparison]),
  ),
  aim("memory of an idle connection, both halves: ratio", ["more", 1], each(/ idle connections$/, ratioOf)),
  aim("two workers to one: share of CPU", ["less", 1.1], each(/ with --workers$/, cpuRatioOf, [workersComparison])),
];

/** One row for each aim of which something was measured: its bound, the worst and the best that was reached, and how often it was met. */
export function aimsTable(scenarios: readonly ScenarioResult[]): Table {
  const rows = aims.flatMap(({ what, bound, better, reached }) => {
    const sorted = reached(scenarios).sort((one, other) => one.value - other.value);
    if (better === "less") sorted.reverse();
    const [worst, best] = [sorted[0], sorted.at(-1)];
    if (worst === undefined || best === undefined) return [];
    const isMet = (shown: number) => (better === "more" ? shown >= bound : shown <= bound);
    const met = sorted.filter(({ value }) => isMet(Number(digits(value)))).length;
    const count = met === sorted.length ? "yes" : met === 0 ? "no" : `in ${met} of ${sorted.length}`;
    const asked = `${better === "more" ? "at least" : "at most"} ${digits(bound)}`;
    return [[what, asked, `${digits(worst.value)} (${worst.where})`, digits(best.value), count]];
  });
  return { head: ["aim", "asked", "worst", "best", "met"], rows };
}

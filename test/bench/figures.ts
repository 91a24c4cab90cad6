import {
  type Comparison,
  comparisons,
  cpuOf,
  cpuRatioOf,
  type Operation,
  ratioOf,
  ratiosByRound,
  type ScenarioResult,
  type WayResult,
  workersComparison,
} from "./results.ts";
import { digits, relativeDeviation, repetitionSpread, type Spread, spreadOf } from "./statistics.ts";

/** A table before it has a form. */
export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const absent = "–";
export const spreadText = ({ median, min, max }: Spread): string =>
  min === max ? digits(median) : `${digits(median)} (${digits(min)} to ${digits(max)})`;

/** The figure of each way, and behind each pair of the same frontend how many times as good Hawser's is. */
export function figureTable(scenarios: readonly ScenarioResult[]): Table {
  return tableOf(
    scenarios,
    ({ name, unit }) => `${name}, ${unit}`,
    ({ figure }) => spreadText(figure),
    { title: "ratio", of: ratioOf },
  );
}

/** One row for each scenario and operation that was timed. */
export function latencyTable(scenarios: readonly ScenarioResult[]): Table | undefined {
  const rows = scenarios.flatMap((scenario) =>
    (["echo", "dial"] as const)
      .filter((operation) => Object.values(scenario.ways).some(({ latencies }) => latencies[operation]))
      .map((operation) => ({ ...scenario, operation })),
  );
  if (rows.length === 0) return undefined;
  const cell = ({ latencies }: WayResult, { operation }: { readonly operation: Operation }) => {
    const latency = latencies[operation];
    if (latency === undefined) return absent;
    return [latency.p50.median, latency.p99.median, latency.max.max].map(digits).join(" / ");
  };
  return tableOf(rows, ({ name, operation }) => `${name}: ${operation}`, cell);
}

/** CPU seconds per unit of work, server and agent. */
export function cpuTable(scenarios: readonly ScenarioResult[]): Table | undefined {
  const counted = scenarios.filter(({ ways }) => Object.values(ways).some((way) => way.cpu));
  if (counted.length === 0) return undefined;
  const cell = (way: WayResult) =>
    way.cpu === undefined
      ? absent
      : `${digits(way.cpu.server.median)} + ${digits(way.cpu.agent.median)} = ${digits(cpuOf(way) ?? 0)}`;
  const titled = ({ name, work }: ScenarioResult) => `${name}, per ${work}`;
  return tableOf(counted, titled, cell, { title: "share", of: cpuRatioOf });
}

/** MB/s of the bulk that went on beside what a scenario is about: who carries less of it has it easier. */
export function besideTable(scenarios: readonly ScenarioResult[]): Table | undefined {
  const loaded = scenarios.filter(({ ways }) => Object.values(ways).some(({ bulkBeside }) => bulkBeside));
  if (loaded.length === 0) return undefined;
  const cell = ({ bulkBeside }: WayResult) => (bulkBeside === undefined ? absent : spreadText(bulkBeside));
  return tableOf(loaded, ({ name }) => name, cell);
}

/** The ratios of a first run, each with that of its rounds, beside those of a second, and whether the two differ by no more than chance makes them. */
export function repetitionTable(first: readonly ScenarioResult[], second: readonly ScenarioResult[]): Table {
  const deviations = ratioDeviations(first);
  const rows = first.flatMap((scenario) =>
    comparisons.flatMap((comparison) => {
      const then = second.find(({ name }) => name === scenario.name);
      const [before, after] = [ratioOf(scenario, comparison), then && ratioOf(then, comparison)];
      const rounds = ratiosByRound(scenario, comparison);
      if (before === undefined || after === undefined) return [];
      // The reference did nothing at all there.
      if (!Number.isFinite(before)) return [];
      const { min, max } = spreadOf(rounds);
      const deviation = deviations.get(kindOf(scenario)) ?? Number.NaN;
      const spread = before * repetitionSpread(deviation, rounds.length);
      const difference = Math.abs(after - before);
      const name = `${scenario.name}, ${comparison.frontend}`;
      const cells = [spreadText({ median: before, min, max }), digits(after), digits(difference), digits(spread)];
      return [[name, ...cells, difference < spread ? "yes" : "no"]];
    }),
  );
  const head = ["", "ratio (of its rounds)", "of the second run", "differ by", "spread", "less than it"];
  return { head, rows };
}

/** The relative standard deviation of a round's ratio, for each kind of figure that has several rounds. */
export function ratioDeviations(scenarios: readonly ScenarioResult[]): ReadonlyMap<string, number> {
  const kinds = [...new Set(scenarios.map(kindOf))];
  return new Map(
    kinds.flatMap((kind) => {
      const ratios = scenarios
        .filter((scenario) => kindOf(scenario) === kind)
        .flatMap((scenario) => comparisons.map((comparison) => ratiosByRound(scenario, comparison)))
        // Where the reference does nothing at all there is none.
        .filter((rounds) => rounds.every(Number.isFinite));
      const deviation = relativeDeviation(ratios);
      return deviation === undefined ? [] : [[kind, deviation] as const];
    }),
  );
}

/** What a figure is measured in, whatever it counts: bytes or operations a second, a time, memory. */
const kindOf = ({ unit }: ScenarioResult): string => /MB\/s|KiB|ms|\/s/.exec(unit)?.[0] ?? unit;

/** MiB of server and agent at the end of the measurement, under its load, and the most that each had while it went on. */
export function memoryTable(scenarios: readonly ScenarioResult[]): Table {
  const half = ({ after, peak }: { readonly after: number; readonly peak: number }) =>
    `${Math.round(after)} (${Math.round(peak)})`;
  const cell = ({ memory }: WayResult) =>
    memory === undefined ? absent : `${half(memory.server)} + ${half(memory.agent)}`;
  return tableOf(
    scenarios.filter(({ ways }) => Object.values(ways).some((way) => way.memory)),
    ({ name }) => name,
    cell,
  );
}

/** What went wrong, a line each. */
export function failureLines(scenarios: readonly ScenarioResult[]): string[] {
  return scenarios.flatMap(({ name, ways, missing = {} }) => {
    const failures = Object.entries(ways).map(([way, { failures }]) => [way, failures] as const);
    return [...failures, ...Object.entries(missing)].flatMap(([way, lines]) =>
      [...new Set(lines)].map((line) => {
        const times = lines.filter((other) => other === line).length;
        return `${name}, ${way}: ${line}${times > 1 ? ` (${times} rounds)` : ""}`;
      }),
    );
  });
}

/** A column for each way that any of the scenarios has something of, in the order of their appearance; a comparison stands behind its ours. */
function tableOf<S extends ScenarioResult>(
  scenarios: readonly S[],
  title: (scenario: S) => string,
  cell: (way: WayResult, scenario: S) => string,
  ratio?: { readonly title: string; readonly of: (scenario: S, comparison: Comparison) => number | undefined },
): Table {
  const hasCell = (way: string) =>
    scenarios.some((scenario) => scenario.ways[way] && cell(scenario.ways[way], scenario) !== absent);
  const ways = [...new Set(scenarios.flatMap((scenario) => Object.keys(scenario.ways)))].filter(hasCell);
  const columns = ways.flatMap((way) => {
    const own = {
      head: way,
      of: (scenario: S) => {
        const result = scenario.ways[way];
        return result === undefined ? absent : cell(result, scenario);
      },
    };
    const comparison = [...comparisons, workersComparison].find(
      ({ ours, theirs }) => ours === way && ways.includes(theirs),
    );
    if (ratio === undefined || comparison === undefined) return [own];
    const of = (scenario: S) => {
      const value = ratio.of(scenario, comparison);
      return value === undefined ? absent : digits(value);
    };
    return [own, { head: ratio.title, of }];
  });
  return {
    head: ["", ...columns.map(({ head }) => head)],
    rows: scenarios.map((scenario) => [title(scenario), ...columns.map(({ of }) => of(scenario))]),
  };
}

import { sharesByKind } from "./kinds-of-time.ts";
import type { HalfProfile } from "./profiles.ts";
import type { Halves, Results, ScenarioResult } from "./results.ts";
import { digits } from "./statistics.ts";
import { markdownTable } from "./tables.ts";

/** docs/performance-profiles.md: what the CPU time of each half was spent on, from one profile of each. */
export function timePage({ about, scenarios }: Results, profiles: readonly HalfProfile[]): string {
  const { cores, model, kernel } = about.machine;
  const introduction = `Written by \`npm run bench -- --profile\` at commit ${about.commit} on ${about.date}: ${cores} cores (${model}), Linux ${kernel}, Node ${about.versions.node}. Each half served its own profile of ${about.secondsEach} s (\`--enable-profiling\`) while it was measured, on processes of their own: its columns are for comparison with one another, and not with [performance.md](performance.md).

CPU time of each half per unit of work, in milliseconds, of all its threads; and what each kind of code took by itself of that of the main thread, in percent. "Native code, called by the event loop" is what happens before any JavaScript runs, as reading a socket, TLS and HTTP/2's own parsing; "called by JavaScript" is mostly writing. Times of functions, one by one, are in \`.bench/profiles.md\` after the run, and the profiles beside it.`;
  const sections = scenarios.flatMap((scenario) => {
    const own = profiles.filter(({ scenario: name }) => name === scenario.name);
    return own.length === 0 ? [] : [section(scenario, own)];
  });
  return `${["# Where the time goes", introduction, ...sections].join("\n\n")}\n`;
}

function section(scenario: ScenarioResult, profiles: readonly HalfProfile[]): string {
  const columns = profiles.map((profile) => ({ ...profile, shares: sharesByKind(profile.times) }));
  const [first] = columns;
  const kinds = [...(first?.shares.keys() ?? [])];
  const head = ["", ...columns.map(({ way, half }) => `${way}: ${half}`)];
  const costs = columns.map(({ way, half }) => costOf(scenario, way, half));
  const rows = kinds.map((kind) => [
    kind,
    ...columns.map(({ shares }) => `${Math.round(100 * (shares.get(kind) ?? 0))} %`),
  ]);
  const title = `## ${scenario.name}`;
  return `${title}\n\n${markdownTable(head, [[`CPU ms per ${scenario.work ?? "second"}`, ...costs], ...rows])}`;
}

function costOf({ ways }: ScenarioResult, way: string, half: keyof Halves<unknown>): string {
  const seconds = ways[way]?.cpu?.[half].median;
  return seconds === undefined ? "–" : digits(1_000 * seconds);
}

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildClient, usualClient } from "../interop/client-programs.ts";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import { buildReference } from "../support/processes.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { machineFacts } from "./about.ts";
import { cpuTable, failureLines, figureTable, latencyTable, type Table } from "./figures.ts";
import { verdicts } from "./gate.ts";
import { type Options, parseOptions, usage } from "./options.ts";
import { expectedSeconds, type Plan, planOf } from "./plan.ts";
import { Profiles } from "./profiles.ts";
import { publish, publishProfiles, readPublished, writePages } from "./published.ts";
import type { Results, ScenarioResult } from "./results.ts";
import { hasNewProcesses, ScenarioRun } from "./run.ts";
import { StartedWays } from "./started-way.ts";
import { screenTable } from "./tables.ts";
import { referenceVersion } from "./ways.ts";

/** `npm run bench`: what Hawser carries beside what the reference does, on this machine. Needs Go. */
const unpublished = join(repositoryRoot, ".bench");
const [failed, misused, skipped] = [1, 2, 77];
const say = (text: string) => process.stdout.write(`${text}\n`);

/** Resolves to the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  let options: Options;
  let plan: Plan;
  try {
    options = parseOptions(argv);
    plan = planOf(options);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}\n`);
    return misused;
  }
  if (options.mode === "page") {
    writePages(readPublished());
    return 0;
  }
  // Before anything is measured, which would be in vain without it.
  const published = options.mode === "gate" || options.mode === "again" ? readPublished() : undefined;
  try {
    await build();
  } catch (error) {
    if ((error as { code?: unknown }).code !== "go_missing") throw error;
    process.stderr.write(`SKIPPED: the benchmark did not run: ${(error as Error).message}\n`);
    return skipped;
  }
  const profiles = options.profile ? new Profiles(join(unpublished, "profiles")) : undefined;
  const results = await measure(plan, profiles);
  show(results.scenarios);
  mkdirSync(unpublished, { recursive: true });
  writeFileSync(join(unpublished, "results.json"), JSON.stringify(results, undefined, 1));
  if (profiles !== undefined) {
    writeFileSync(join(unpublished, "profiles.md"), profiles.tables());
    say("Profiles are in .bench/profiles, the functions that took most in .bench/profiles.md.");
    if (options.mode === "profiles") publishProfiles(results, profiles.taken);
  }
  if (options.mode === "gate" && published !== undefined) return judge(results, published);
  if (results.scenarios.some(({ missing }) => missing !== undefined)) {
    process.stderr.write("not published: some of it could not be measured; .bench/results.json has the rest\n");
    return failed;
  }
  if (options.mode === "whole") publish(results);
  if (published === undefined) return 0;
  publish({ ...published, again: results });
  return 0;
}

async function build(): Promise<void> {
  await buildClient(usualClient);
  for (const half of ["server", "agent"] as const) await buildReference(`reference-${referenceVersion}`, half);
}

async function measure({ scenarios, rounds, stretch }: Plan, profiles: Profiles | undefined): Promise<Results> {
  const facts = machineFacts();
  const began = performance.now();
  const minutesSince = () => Number(((performance.now() - began) / 60_000).toFixed(1));
  say(
    `${scenarios.length} scenarios, about ${Math.ceil(expectedSeconds({ scenarios, rounds, stretch }) / 60)} minutes`,
  );
  const endpoints = await GoEndpoints.start();
  const ways = new StartedWays(profiles !== undefined);
  const runs = scenarios.map((scenario) => new ScenarioRun(scenario, ways));
  try {
    // Round by round, and not scenario by scenario: what the machine does differently from one quarter of an hour to the next is in the
    // spread of each figure then.
    for (let round = 1; round <= rounds; round++) {
      if (hasNewProcesses(round, rounds)) await ways.stop();
      for (const [index, run] of runs.entries()) {
        const at = `round ${round} of ${rounds}, ${index + 1} of ${runs.length}`;
        const tell = (line: string) => say(`${minutesSince()} min, ${at}: ${line}`);
        await run.run(round, { endpoints, rounds, stretch, ...(profiles && { profiles }) }, tell);
      }
    }
  } finally {
    await ways.stop();
    await endpoints.stop();
  }
  const about = { ...facts, rounds, secondsEach: stretch.lengthMs / 1_000, minutes: minutesSince() };
  return { about, scenarios: runs.map((run) => run.result()) };
}

function show(scenarios: readonly ScenarioResult[]): void {
  const table = (title: string, content: Table | undefined) => {
    if (content !== undefined) say(`\n${title}\n${screenTable(content.head, content.rows)}`);
  };
  table("Figures; ratio: Hawser to the reference, above 1 Hawser is better", figureTable(scenarios));
  table("Latency in ms: p50 / p99 / longest", latencyTable(scenarios));
  table("CPU seconds: server + agent; share: Hawser to the reference, below 1 Hawser uses less", cpuTable(scenarios));
  for (const line of failureLines(scenarios)) say(line);
}

function judge(here: Results, published: Results): number {
  const all = verdicts(here.scenarios, published.scenarios);
  const place = ({ about: { machine, versions } }: Results) => `${machine.cores} cores and Node ${versions.node}`;
  say(`\nHere with ${place(here)}, published with ${place(published)}`);
  for (const { passed, line } of all) say(`gate ${passed ? "passed" : "FAILED"}: ${line}`);
  return all.every(({ passed }) => passed) ? 0 : failed;
}

// Processes that were started go with this one when it exits.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(failed));
process.exitCode = await main(process.argv.slice(2));

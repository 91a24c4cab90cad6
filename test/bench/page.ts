import { aimsTable } from "./aims.ts";
import {
  besideTable,
  cpuTable,
  failureLines,
  figureTable,
  latencyTable,
  memoryTable,
  ratioDeviations,
  repetitionTable,
  type Table,
} from "./figures.ts";
import type { Plot } from "./plots.ts";
import { type About, type Group, isMixed, type Results, type ScenarioResult } from "./results.ts";
import { digits } from "./statistics.ts";
import { markdownTable } from "./tables.ts";

/** What a reader has to know of a group besides its tables. */
const remarks: Readonly<Record<Group, string>> = {
  bulk: "Bytes as fast as they go, on connections that are open already. Both ways at once counts the sum.",
  echo: "200 bytes there and back, each connection without a pause.",
  dials:
    "A connection is opened, 16 bytes go there and back, and it is closed; the time of a dial is that up to the answer. The relay has a TLS handshake for each, which no tunnel has.",
  "mixed load":
    "An echo beside bulk waits behind it somewhere. A stalled reader is a client that has stopped reading an endless download, with all between full: the reference then answers nothing more on that agent, so it is measured beside one at most, and a dial or echo that never came back counts with its age.",
  "long path":
    "A delay between server and agent, made by a process between them. The first 5 s of a link are not measured.",
  workers:
    "A server with `--workers=2` beside one without; here the ratio and the share are to that one. Client, endpoints and agent want the same few cores, so what is to be seen is that a second worker costs little CPU for a byte.",
  memory:
    "What resident memory grows by. Idle agents speak the reference's link at either server, since thousands of agent processes do not fit on a machine.",
};

const aimsRemark =
  "Bounds that were set before a line was written, as marks to fight for; no prototype met all. Worst and best are of the scenarios and frontends that an aim is about. [performance-tried.md](performance-tried.md) says what was tried, and what stands in the way of those that are not met.";

const mixedRemark =
  "A half of Hawser's works with a half of the reference's, over the reference's link. Both pairs stand beside, with the same frontend.";

/** docs/performance.md, from what docs/performance.json holds. `plots` are the files beside it. */
export function performancePage({ about, scenarios, again }: Results, plots: readonly Plot[]): string {
  const groups = [...new Set(scenarios.map(({ group }) => group))];
  const pure = scenarios.map((scenario) => onlyWays(scenario, (way) => !isMixed(way)));
  const mixed = scenarios
    .filter(({ ways }) => Object.keys(ways).some(isMixed))
    .map((scenario) => onlyWays(scenario, (way) => isMixed(way) || way.endsWith(", gRPC")));
  const failures = failureLines(scenarios);
  return `${[
    "# Performance",
    introduction(about),
    reading,
    `## What it aims at\n\n${aimsRemark}\n\n${markdown(aimsTable(scenarios))}`,
    ...groups.map((group) => section(group, pure, plots)),
    ...(mixed.length > 0 ? [`## One half of each\n\n${mixedRemark}\n\n${tables(mixed)}`] : []),
    `## Memory of each scenario\n\nServer + agent in MiB, at the end of a measurement, under its load, and in brackets the most while it went on. They have been through other scenarios before, but for those that had to be started anew.\n\n${markdown(memoryTable(scenarios))}`,
    ...(again ? [secondRun(scenarios, again)] : []),
    ...(failures.length > 0 ? [`## What failed\n\n${failures.map((line) => `- ${line}`).join("\n")}`] : []),
  ].join("\n\n")}\n`;
}

function introduction({ commit, date, rounds, secondsEach, minutes, versions, machine }: About): string {
  const { cores, model, kernel, memoryGiB } = machine;
  return `Written by \`npm run bench\` at commit ${commit} on ${date}, in ${minutes} minutes, from [performance.json](performance.json), which it wrote as well. ${cores} cores (${model}), ${memoryGiB} GiB, Linux ${kernel}, Node ${versions.node}. Hawser ${versions.hawser}, the reference ${versions.reference} built with ${versions.go}.

Clients and endpoints are processes of a Go program, the client with the reference's own library or plain CONNECT; frontends listen on Unix sockets, server and agent speak mTLS on loopback. Each way to the endpoints is measured for ${secondsEach} s after a warm-up, in ${rounds} rounds (heavy ones and those for orientation in fewer). A round goes through all scenarios, and in each the ways take turns, so that a figure's rounds lie over the whole time. Processes carry all scenarios one after the other, and are started anew in every other round, and all of a scenario after a round in which something went wrong with one ("What failed"); idle connections, idle agents, stalled readers and bulk both ways at once get new ones each round. All log at \`-v=0\`: at 4, which is its default, the reference writes lines for every packet that goes up; where that is measured too it is called "as shipped".`;
}

const reading = `A figure is the median of its rounds, with the smallest and the largest behind it. **ratio** is Hawser against the reference at the same frontend: above 1 Hawser is better. **share** is CPU time of server and agent together, Hawser's to the reference's: below 1 Hawser uses less. Both are medians of what the rounds came to, in each of which one is measured right behind the other: the machine is now and then half as fast again as at another time, so that they are not the ratios of the medians beside them. On so few cores clients, endpoints, server and agent share them all, so read the ratios, not the absolutes; [performance-profiles.md](performance-profiles.md) says where the time goes. "direct TCP" has nothing between, "TLS relay in Node" is two processes that pass bytes over a TLS connection for each connection, without multiplexing: about what the runtime can do in bulk.`;

function section(group: Group, all: readonly ScenarioResult[], plots: readonly Plot[]): string {
  const own = plots.filter((plot) => plot.group === group);
  return [
    `## ${group[0]?.toUpperCase()}${group.slice(1)}`,
    remarks[group],
    tables(all.filter((scenario) => scenario.group === group)),
    ...own.map(({ title, file }) => `![${title}](performance/${file})`),
  ].join("\n\n");
}

function tables(scenarios: readonly ScenarioResult[]): string {
  const latencies = latencyTable(scenarios);
  const beside = besideTable(scenarios);
  const cpu = cpuTable(scenarios);
  return [
    markdown(figureTable(scenarios)),
    ...(beside ? [`MB/s of the bulk meanwhile.\n\n${markdown(beside)}`] : []),
    ...(latencies ? [`Latency in ms: p50 / p99 / longest of all rounds.\n\n${markdown(latencies)}`] : []),
    ...(cpu ? [`CPU seconds, server + agent.\n\n${markdown(cpu)}`] : []),
  ].join("\n\n");
}

function secondRun(first: readonly ScenarioResult[], { about, scenarios: second }: Omit<Results, "again">): string {
  const { head, rows } = repetitionTable(first, second);
  const within = rows.filter((row) => row.at(-1) === "yes").length;
  const deviations = [...ratioDeviations(first)].map(([kind, deviation]) => `${digits(100 * deviation)} % (${kind})`);
  return `## A second run

Ratios of another run, at commit ${about.commit} on ${about.date}, ${about.rounds} rounds (\`npm run bench -- --again\`). A ratio's spread is how far such a repetition may be off by chance: a round's ratio has a standard deviation of ${deviations.join(", ")} in the first run, taken from all ratios of a kind together, since five rounds tell too little of their own; and the spread is 3.5 times that of the difference between two medians, within which in nineteen of twenty repetitions all of these ratios stay. ${within} of ${rows.length} differ by less than that. From the smallest to the largest ratio of a ratio's rounds, in brackets, is less: in three of five repetitions one or more of so many would be farther off than that.

${markdownTable(head, rows)}`;
}

function onlyWays(scenario: ScenarioResult, wanted: (way: string) => boolean): ScenarioResult {
  return { ...scenario, ways: Object.fromEntries(Object.entries(scenario.ways).filter(([way]) => wanted(way))) };
}

const markdown = ({ head, rows }: Table) => markdownTable(head, rows);

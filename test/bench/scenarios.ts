import { idleAgents, idleConnections } from "./idle.ts";
import { type LoadPlan, type Measured, measureLoad, megabytesPerSecond, type Reading, type Stage } from "./load.ts";
import type { Heading, Sample } from "./results.ts";
import { besideStalledReaders } from "./stalled.ts";
import {
  asShipped,
  connectPairs,
  direct,
  grpcPairs,
  mixedPairs,
  type RunningWay,
  relay,
  type Way,
  workers,
} from "./ways.ts";

export interface Scenario extends Heading {
  readonly ways: readonly Way[];
  /** Between server and agent. */
  readonly oneWayMs?: number;
  /** Nothing that an earlier round left behind may be there. */
  readonly freshEachRound?: boolean;
  readonly roundsMax?: number;
  /** How long a way is warmed up before this is measured on its processes for the first time. */
  readonly firstWarmMs?: number;
  /** Of what is measured, in place of the run's. */
  readonly lengthMs?: number;
  /** What a measurement takes besides its stretch. */
  readonly moreSeconds?: number;
  /** Part of --quick, and so of the gate. */
  readonly quick?: boolean;
  measure(way: RunningWay, stage: Stage): Promise<Sample>;
}

type Rest = Omit<Scenario, "measure" | keyof Heading>;

const bothFrontends = [...grpcPairs, ...connectPairs];
const withMarks = [direct, relay, ...bothFrontends];
const withMixed = [...withMarks, asShipped, ...mixedPairs];

const echoesPerSecond = ({ echoes, seconds }: Measured) => (echoes?.count ?? 0) / seconds;
const dialsPerSecond = ({ dials, seconds }: Measured) => (dials?.count ?? 0) / seconds;

function underLoad(heading: Heading, figure: Reading["figure"], plan: LoadPlan, rest: Rest): Scenario {
  const reading = { ...heading, figure };
  return { ...heading, ...rest, measure: (way, stage) => measureLoad(way, stage, plan, reading) };
}

function bulk(name: string, plan: LoadPlan, rest: Rest): Scenario {
  return underLoad({ name, group: "bulk", unit: "MB/s", better: "more", work: "GB" }, megabytesPerSecond, plan, rest);
}

function echo(connections: number, rest: Rest): Scenario {
  const name = `200 B echo on ${connections}`;
  const heading: Heading = { name, group: "echo", unit: "/s", better: "more", work: "1,000 echoes" };
  return underLoad(heading, echoesPerSecond, { echoes: connections }, rest);
}

/** Each line runs once for a dial, and not thousands of times a second as with bytes: it is warm later. */
const dialsWarmMs = 2_500;

function dials(name: string, atOnce: number, rest: Rest): Scenario {
  const heading: Heading = { name, group: "dials", unit: "/s", better: "more", work: "1,000 dials" };
  return underLoad(heading, dialsPerSecond, { dials: atOnce }, { firstWarmMs: dialsWarmMs, ...rest });
}

function besideStalled(count: number, ways: readonly Way[]): Scenario {
  const name = `dials and echoes beside ${count} stalled reader${count === 1 ? "" : "s"}`;
  const heading: Heading = { name, group: "mixed load", unit: "dials/s", better: "more" };
  const measure = (way: RunningWay, stage: Stage) =>
    besideStalledReaders(way, stage, count, { echoes: 8, dials: 2 }, { figure: dialsPerSecond });
  return { ...heading, ways, freshEachRound: true, firstWarmMs: dialsWarmMs, roundsMax: 3, moreSeconds: 4, measure };
}

function overLongPath(direction: "down" | "up", roundTripMs: number): Scenario {
  const heading: Heading = {
    name: `bulk ${direction} on 1, ${roundTripMs} ms round trip`,
    group: "long path",
    unit: "MB/s",
    better: "more",
    work: "GB",
  };
  const plan = direction === "down" ? { downloads: 1 } : { uploads: 1 };
  return underLoad(heading, megabytesPerSecond, plan, {
    ways: [relay, ...connectPairs],
    oneWayMs: roundTripMs / 2,
    // Windows follow the round trip, which a link measures for some seconds. Uploads come behind downloads, on the same link.
    ...(direction === "down" && { firstWarmMs: 5_000 }),
  });
}

function idle(what: "connections" | "agents", count: number, ways: readonly Way[], moreSeconds: number): Scenario {
  const name = `${count.toLocaleString("en")} idle ${what}`;
  const unit = what === "connections" ? "KiB each, both halves" : "KiB each, server";
  const measure = (way: RunningWay, stage: Stage) =>
    what === "connections" ? idleConnections(way, stage, count) : idleAgents(way, count);
  const heading: Heading = { name, group: "memory", unit, better: "less" };
  const roundsMax = what === "connections" ? 3 : 2;
  // Nothing goes on for a time: all of theirs is more.
  return { ...heading, ways, freshEachRound: true, roundsMax, firstWarmMs: 0, lengthMs: 0, moreSeconds, measure };
}

export const scenarios: readonly Scenario[] = [
  bulk("bulk down on 1", { downloads: 1 }, { ways: withMixed, quick: true }),
  bulk("bulk down on 16", { downloads: 16 }, { ways: withMarks }),
  bulk("bulk down on 100", { downloads: 100 }, { ways: connectPairs }),
  bulk("bulk up on 1", { uploads: 1 }, { ways: withMixed, quick: true }),
  bulk("bulk up on 16", { uploads: 16 }, { ways: withMarks }),
  bulk("bulk up on 100", { uploads: 100 }, { ways: connectPairs }),
  // The reference does not close all of its connections behind it.
  bulk("bulk down on 32 and up on 32", { downloads: 32, uploads: 32 }, { ways: withMarks, freshEachRound: true }),
  echo(1, { ways: withMarks }),
  echo(64, { ways: withMixed, quick: true }),
  echo(512, { ways: [relay, ...connectPairs] }),
  dials("dial + echo + close, 1 at once", 1, { ways: withMarks }),
  dials("dial + echo + close, 32 at once", 32, { ways: withMixed, quick: true }),
  dials("dial + echo + close, 1,000 at once", 1_000, { ways: bothFrontends }),
  underLoad(
    { name: "echo beside 4 bulk downloads", group: "mixed load", unit: "ms p99", better: "less" },
    ({ echoes }) => echoes?.p99Millis ?? 0,
    { downloads: 4, echoes: 1 },
    { ways: withMarks },
  ),
  besideStalled(0, grpcPairs),
  besideStalled(1, grpcPairs),
  // The reference answers nothing beside the first, so it is not asked for more.
  besideStalled(100, grpcPairs.slice(1)),
  ...[10, 50].flatMap((roundTripMs) => [overLongPath("down", roundTripMs), overLongPath("up", roundTripMs)]),
  underLoad(
    { name: "bulk down on 16 with --workers", group: "workers", unit: "MB/s", better: "more", work: "GB" },
    megabytesPerSecond,
    { downloads: 16 },
    { ways: workers },
  ),
  idle("connections", 5_000, bothFrontends, 9),
  idle("agents", 5_000, grpcPairs, 36),
];

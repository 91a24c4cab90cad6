import { advantage, type Better, type Spread, spreadOf } from "./statistics.ts";

/** What docs/performance.json holds. Times of latencies are in milliseconds, CPU in seconds, memory in MiB. */
export interface Results {
  readonly about: About;
  readonly scenarios: readonly ScenarioResult[];
  /** A later run of what is compared, which shows how far the ratios above are to be trusted. */
  readonly again?: Omit<Results, "again">;
}

export interface About {
  readonly commit: string;
  readonly date: string;
  readonly rounds: number;
  readonly secondsEach: number;
  readonly minutes: number;
  readonly versions: Readonly<Record<"hawser" | "reference" | "node" | "go", string>>;
  readonly machine: {
    readonly cores: number;
    readonly model: string;
    readonly kernel: string;
    readonly memoryGiB: number;
  };
}

/** What a scenario is called and how its figure reads. */
export interface Heading {
  readonly name: string;
  readonly group: Group;
  readonly unit: string;
  readonly better: Better;
  /** What CPU is counted for, if it is. */
  readonly work?: Work;
}

export type Group = "bulk" | "echo" | "dials" | "mixed load" | "long path" | "workers" | "memory";
export type Work = "GB" | "1,000 dials" | "1,000 echoes";

export interface ScenarioResult extends Heading {
  /** By the way's name, in the order in which they were measured. */
  readonly ways: Readonly<Record<string, WayResult>>;
  /** What went wrong with ways that have no result, by their names. */
  readonly missing?: Readonly<Record<string, readonly string[]>>;
}

export interface WayResult {
  readonly figure: Spread;
  /** The figure of each round, in order; null where it failed. */
  readonly rounds: readonly (number | null)[];
  readonly latencies: Readonly<Partial<Record<Operation, Latency<Spread>>>>;
  /** Per unit of work. */
  readonly cpu?: Halves<Spread>;
  /** Of each round, in order, both halves together; null where it failed. */
  readonly cpuRounds?: readonly (number | null)[];
  readonly memory?: Halves<MemoryMiB>;
  /** MB/s of bulk that goes on beside the echoes that the figure is of. */
  readonly bulkBeside?: Spread;
  /** What went wrong: rounds that have no figure, and dials that failed in one that has. */
  readonly failures: readonly string[];
}

export type Operation = "echo" | "dial";

export interface Latency<T> {
  readonly p50: T;
  readonly p99: T;
  readonly max: T;
}

export interface Halves<T> {
  readonly server: T;
  readonly agent: T;
}

export interface MemoryMiB {
  readonly after: number;
  readonly peak: number;
}

/** What one measurement of one way brought. */
export interface Sample {
  readonly figure: number;
  readonly latencies?: Readonly<Partial<Record<Operation, Latency<number>>>>;
  readonly cpu?: Halves<number>;
  readonly memory?: Halves<MemoryMiB>;
  readonly bulkBeside?: number;
  readonly failures?: readonly string[];
}

/** A round without a sample brings the text of what went wrong. Undefined if no round has a sample. */
export function wayResult(rounds: readonly (Sample | string)[]): WayResult | undefined {
  const samples = rounds.filter((round) => typeof round !== "string");
  if (samples.length === 0) return undefined;
  const over = (of: (sample: Sample) => number | undefined) => {
    const values = samples.map(of).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : spreadOf(values);
  };
  const cpu = halves((half) => over((sample) => sample.cpu?.[half]));
  const memory = halves((half) => {
    const peak = over((sample) => sample.memory?.[half].peak);
    const after = over((sample) => sample.memory?.[half].after);
    return peak && after && { after: after.median, peak: peak.max };
  });
  const bulkBeside = over((sample) => sample.bulkBeside);
  const latencies: Partial<Record<Operation, Latency<Spread>>> = {};
  for (const operation of ["echo", "dial"] as const) {
    const [p50, p99, max] = (["p50", "p99", "max"] as const).map((of) =>
      over(({ latencies }) => latencies?.[operation]?.[of]),
    );
    if (p50 && p99 && max) latencies[operation] = { p50, p99, max };
  }
  return {
    figure: spreadOf(samples.map(({ figure }) => figure)),
    rounds: rounds.map((round) => (typeof round === "string" ? null : round.figure)),
    latencies,
    ...(cpu && { cpu, cpuRounds: rounds.map((round) => (typeof round === "string" ? null : cpuSum(round.cpu))) }),
    ...(memory && { memory }),
    ...(bulkBeside && { bulkBeside }),
    failures: rounds.flatMap((round) => (typeof round === "string" ? [round] : (round.failures ?? []))),
  };
}

const cpuSum = (cpu: Halves<number> | undefined) => (cpu === undefined ? null : cpu.server + cpu.agent);

function halves<T>(of: (half: keyof Halves<unknown>) => T | undefined): Halves<T> | undefined {
  const [server, agent] = [of("server"), of("agent")];
  return server === undefined || agent === undefined ? undefined : { server, agent };
}

/** Of a pair of one half of each. */
export const mixedName = (server: string, agent: string) => `${server} server + ${agent} agent`;
export const isMixed = (way: string) => way.includes(" server + ");

/** Two ways of the same frontend, by their names. */
export interface Comparison {
  readonly frontend: string;
  readonly ours: string;
  readonly theirs: string;
}

/** Hawser's pair against the reference's. */
export const comparisons: readonly Comparison[] = ["gRPC", "CONNECT"].map((frontend) => ({
  frontend,
  ours: `Hawser, ${frontend}`,
  theirs: `reference, ${frontend}`,
}));

/** What workers cost and bring: two of them against one. */
export const workersComparison: Comparison = {
  frontend: "CONNECT",
  ours: "Hawser, CONNECT, 2 workers",
  theirs: "Hawser, CONNECT",
};

/** What the runtime itself carries over two hops, without a tunnel. */
export const relayComparison: Comparison = {
  frontend: "CONNECT",
  ours: "Hawser, CONNECT",
  theirs: "TLS relay in Node",
};

/**
 * The median of the rounds' ratios; undefined where there is no round of both. Not the ratio of the medians: those may be of different
 * rounds, and the machine may have been another half as fast in one.
 */
export function ratioOf(scenario: ScenarioResult, comparison: Comparison): number | undefined {
  return medianOf(ratiosByRound(scenario, comparison));
}

/** Of each round that both were measured in: two measurements of which one followed the other, and so of the same machine. */
export function ratiosByRound({ ways, better }: ScenarioResult, { ours, theirs }: Comparison): number[] {
  return byRound(ways[ours]?.rounds, ways[theirs]?.rounds, (mine, other) => advantage(mine, other, better));
}

/** Server and agent together, ours to theirs, as the median of the rounds: below 1 ours uses less. */
export function cpuRatioOf({ ways }: ScenarioResult, { ours, theirs }: Comparison): number | undefined {
  return medianOf(byRound(ways[ours]?.cpuRounds, ways[theirs]?.cpuRounds, (mine, other) => mine / other));
}

type Rounds = readonly (number | null)[] | undefined;

function byRound(mine: Rounds = [], others: Rounds = [], of: (mine: number, other: number) => number): number[] {
  return mine.flatMap((own, round) => {
    const other = others[round];
    return own === null || other === null || other === undefined ? [] : [of(own, other)];
  });
}

const medianOf = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : spreadOf(values).median;

/** Server and agent together. */
export function cpuOf(way: WayResult | undefined): number | undefined {
  return way?.cpu && way.cpu.server.median + way.cpu.agent.median;
}

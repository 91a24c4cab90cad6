import type { GoEndpoints } from "../interop/go-endpoints.ts";
import { type Outcome, TunnelClient } from "../interop/tunnel-client.ts";
import type { ManagedProcess } from "../support/managed-process.ts";
import { until } from "../support/until.ts";
import type { Halves, Latency, MemoryMiB, Operation, Sample, Work } from "./results.ts";
import type { RunningWay } from "./ways.ts";

/** Connections and dialers that are busy at the same time. */
export interface LoadPlan {
  readonly downloads?: number;
  readonly uploads?: number;
  readonly echoes?: number;
  readonly dials?: number;
}

/** How long is measured, and how long the same goes on before. */
export interface Stretch {
  readonly warmMs: number;
  readonly lengthMs: number;
}

/** What a scenario is measured with. */
export interface Stage {
  readonly endpoints: GoEndpoints;
  readonly stretch: Stretch;
  /** Done in the time that is measured. */
  readonly whileMeasured?: (way: RunningWay) => Promise<void> | undefined;
}

interface Operations {
  readonly count: number;
  readonly failed: number;
  readonly failure?: string;
  readonly p50Millis: number;
  readonly p99Millis: number;
  readonly maxMillis: number;
}

/** As test/interop/client/load.go prints it. */
export interface Measured {
  readonly seconds: number;
  readonly bytesDown: number;
  readonly bytesUp: number;
  readonly echoes?: Operations;
  readonly dials?: Operations;
}

export const megabytesPerSecond = ({ bytesDown, bytesUp, seconds }: Measured): number =>
  (bytesDown + bytesUp) / 1e6 / seconds;

/** What a load comes to: the figure of its scenario, and what the halves' CPU time is divided by. */
export interface Reading {
  readonly figure: (measured: Measured) => number;
  readonly work?: Work;
}

const emptyWithinMs = 5_000;
const mebibyte = 1024 ** 2;

/**
 * Puts a load on a way and measures it. `beside` does what has to be done when the load's connections are open and nothing moves yet;
 * a load with something beside it is ended by force, since its connections may not close any more.
 */
export async function measureLoad(
  way: RunningWay,
  { endpoints, stretch, whileMeasured }: Stage,
  plan: LoadPlan,
  reading: Reading,
  beside?: () => Promise<unknown>,
): Promise<Sample> {
  const { flood, discard, echo } = endpoints.addresses;
  const client = await TunnelClient.start("load", [
    ...way.clientArgs,
    `--flood=${flood}`,
    `--discard=${discard}`,
    `--echo=${echo}`,
    ...Object.entries(plan).map(([name, count]) => `--${name}=${count}`),
    `--warm=${stretch.warmMs}ms`,
    `--length=${stretch.lengthMs}ms`,
  ]);
  const event = async <T>(index: number) => {
    try {
      return await client.waitFor<T & { readonly event: string }>("event", index);
    } catch (error) {
      // The client's own words, if it has ended with some.
      const [outcome] = client.printed<Outcome<never>>("ok");
      throw outcome?.error === undefined ? error : new Error(outcome.error);
    }
  };
  try {
    await event(0);
    await beside?.();
    client.send("begin");
    await event(1);
    const before = cpuOf(way);
    ofHalves(way, (half) => half.forgetPeak());
    const [sample] = await Promise.all([
      event<Measured>(2).then((measured) => sampleOf(measured, reading, way, before)),
      whileMeasured?.(way),
    ]);
    if (beside !== undefined) return sample;
    client.send("close");
    const left = await leftBehind(client, endpoints);
    return left === undefined ? sample : { ...sample, failures: [...(sample.failures ?? []), left] };
  } finally {
    await client.process.stop();
  }
}

/** What the load and the way did not get rid of, if anything. */
async function leftBehind(client: TunnelClient, endpoints: GoEndpoints): Promise<string | undefined> {
  const { ok, error } = await client.outcome();
  if (!ok) return error ?? "the load failed";
  let open = 0;
  const isEmpty = async () => {
    open = await endpoints.openCount();
    return open === 0;
  };
  return until("empty endpoints", isEmpty, { withinMs: emptyWithinMs }).then(
    () => undefined,
    () => `${open} connections to the endpoints stayed open behind the load`,
  );
}

function sampleOf(measured: Measured, reading: Reading, way: RunningWay, before: Halves<number> | undefined): Sample {
  const now = cpuOf(way);
  const amount = workOf(measured, reading.work);
  const memory = memoryOf(way);
  const used = (half: keyof Halves<unknown>) => ((now?.[half] ?? 0) - (before?.[half] ?? 0)) / 1_000 / amount;
  const latencies: Partial<Record<Operation, Latency<number>>> = {};
  if (measured.echoes !== undefined) latencies.echo = latencyOf(measured.echoes);
  if (measured.dials !== undefined) latencies.dial = latencyOf(measured.dials);
  const { failed = 0, failure } = measured.dials ?? {};
  return {
    figure: reading.figure(measured),
    latencies,
    ...(now && amount > 0 && { cpu: { server: used("server"), agent: used("agent") } }),
    ...(memory && { memory }),
    ...(measured.echoes && measured.bytesDown > 0 && { bulkBeside: megabytesPerSecond(measured) }),
    ...(failed > 0 && { failures: [`${failed} dials failed: ${failure}`] }),
  };
}

/** In the units that the work is counted in; 0 where nothing is counted. */
function workOf({ bytesDown, bytesUp, echoes, dials }: Measured, work: Work | undefined): number {
  switch (work) {
    case "GB":
      return (bytesDown + bytesUp) / 1e9;
    case "1,000 dials":
      return (dials?.count ?? 0) / 1_000;
    case "1,000 echoes":
      return (echoes?.count ?? 0) / 1_000;
    case undefined:
      return 0;
  }
}

const latencyOf = ({ p50Millis, p99Millis, maxMillis }: Operations) => ({
  p50: p50Millis,
  p99: p99Millis,
  max: maxMillis,
});

const ofHalves = <T>({ halves }: RunningWay, of: (half: ManagedProcess) => T): Halves<T> | undefined =>
  halves && { server: of(halves.server), agent: of(halves.agent) };

const cpuOf = (way: RunningWay) => ofHalves(way, (half) => half.cpuMs());

/** Of the halves at this moment, and the most since they started or a load began on them. */
export const memoryOf = (way: RunningWay): Halves<MemoryMiB> | undefined =>
  ofHalves(way, (half) => ({ after: half.residentBytes() / mebibyte, peak: half.peakResidentBytes() / mebibyte }));

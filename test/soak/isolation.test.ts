import { expect } from "vitest";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import type { FrontendKind, Implementation } from "../support/processes.ts";
import { measured, type Report } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Tunnel } from "../support/tunnel.ts";
import { median, Neighbours, quantile, type Window } from "./neighbours.ts";
import { StalledConnections, type StalledEnd } from "./stalled-connections.ts";

const neighbourCount = 100;
const dialerCount = 2;
const stalledCount = 100;
/** In full the connections stand still for ten minutes at least, in CI while these windows of both kinds alternate. */
const windowMs = inSoak(1_000, 10_000);
const cyclesMin = inSoak(5, 30);
/** On a machine that others use, the figures may need more windows to settle. A defect does not go away by them. */
const cyclesMax = inSoak(20, 45);

const throughputShareMin = 0.9;
const dialFactorMax = 2;
/** What a machine can promise that answers within half of it while nothing stalls. */
const dialP99MaxMs = 100;

/** A window with what it cost both halves together, per byte that the neighbours moved. */
type Costed = Window & { readonly cpuMsPerMegabyte: number };

interface Seen {
  readonly quiet: Costed[];
  readonly stalled: Costed[];
}

for (const protocol of ["grpc", "connect"] as const) {
  for (const [requirement, end] of [
    ["R-1.1", "client"],
    ["R-1.2", "endpoint"],
  ] as const) {
    const title = `${requirement}, R-1.6: ${protocol} frontend, ${stalledCount} connections whose ${end} never reads, ${neighbourCount} neighbours`;
    measured(title, inSoak(180_000, 1_200_000), async (report) => {
      const seen = await measure("hawser", { protocol, transport: "uds" }, { end, count: stalledCount }, cyclesMax);
      tell(report, "", seen);
      expect([...seen.quiet, ...seen.stalled].flatMap(({ failures }) => failures)).toEqual([]);
      const { share, quietP99, stalledP99 } = figuresOf(seen);
      expect(share).toBeGreaterThanOrEqual(throughputShareMin);
      expect(stalledP99).toBeLessThan(dialFactorMax * quietP99);
      if (quietP99 < dialP99MaxMs / 2) expect(stalledP99).toBeLessThan(dialP99MaxMs);
    });

    // For comparison alone, and not in CI: it cannot fail.
    if (!inSoak(false, true)) continue;
    measured(
      `the reference v0.36.0 beside it: ${protocol} frontend, one ${end} that never reads`,
      // Its echoes and dials wait for up to a minute each, window by window.
      1_200_000,
      async (report) => {
        tell(
          report,
          "reference ",
          await measure("reference-v0.36.0", { protocol, transport: "uds" }, { end, count: 1 }, 2),
        );
      },
    );
  }
}

/**
 * Two tunnels, one of which has the stalled connections; windows of the two alternate, so that what else the machine does
 * falls on both. While one is measured the other rests.
 */
async function measure(
  both: Implementation,
  frontend: FrontendKind,
  stall: { readonly end: StalledEnd; readonly count: number },
  cyclesAtMost: number,
): Promise<Seen> {
  // Each time anew: of tens of thousands of dials and of readers that stall nothing is left for the next.
  const endpoints = await GoEndpoints.start();
  const stops: (() => Promise<unknown>)[] = [() => endpoints.stop()];
  const start = async () => {
    const tunnel = await Tunnel.start({ server: both, agent: both, frontend });
    stops.unshift(() => tunnel.stop());
    const options = { connections: neighbourCount, dialers: dialerCount };
    const neighbours = await Neighbours.start(tunnel, endpoints.addresses.echo, options);
    stops.unshift(() => neighbours.stop());
    // The first window warms up.
    await neighbours.window(windowMs);
    return { tunnel, neighbours };
  };
  const seen: Seen = { quiet: [], stalled: [] };
  try {
    const [quiet, beside] = [await start(), await start()];
    const stalled = await StalledConnections.open(beside.tunnel, endpoints, stall);
    stops.unshift(() => stalled.close());
    for (let cycle = 1; cycle <= cyclesAtMost && !isEnough(seen); cycle++) {
      seen.quiet.push(await costed(quiet));
      seen.stalled.push(await costed(beside));
    }
    if (both === "hawser") expect(stalled.endedCount).toBe(0);
    return seen;
  } finally {
    for (const stop of stops) await stop();
  }
}

async function costed({ tunnel, neighbours }: { readonly tunnel: Tunnel; readonly neighbours: Neighbours }) {
  const cpuMs = () => [tunnel.server, ...tunnel.agents].reduce((sum, half) => sum + half.cpuMs(), 0);
  const before = cpuMs();
  const window = await neighbours.window(windowMs);
  return { ...window, cpuMsPerMegabyte: (cpuMs() - before) / (window.megabytesPerSecond * window.seconds) };
}

function isEnough(seen: Seen): boolean {
  if (seen.stalled.length < cyclesMin) return false;
  const { share, quietP99, stalledP99 } = figuresOf(seen);
  return share >= throughputShareMin && stalledP99 < dialFactorMax * quietP99;
}

function figuresOf({ quiet, stalled }: Seen) {
  const rate = (windows: readonly Window[]) => median(windows.map(({ megabytesPerSecond }) => megabytesPerSecond));
  const p99 = (windows: readonly Window[]) =>
    quantile(
      windows.flatMap(({ dialMillis }) => dialMillis),
      0.99,
    );
  return {
    quietRate: rate(quiet),
    stalledRate: rate(stalled),
    share: rate(stalled) / rate(quiet),
    quietP99: p99(quiet),
    stalledP99: p99(stalled),
  };
}

function tell(report: Report, whose: string, seen: Seen): void {
  const { quietRate, stalledRate, share, quietP99, stalledP99 } = figuresOf(seen);
  const cost = (windows: readonly Costed[]) => median(windows.map(({ cpuMsPerMegabyte }) => cpuMsPerMegabyte));
  const over = <T>(windows: readonly Window[], of: (window: Window) => T) => windows.map(of);
  report(`${whose}windows of each kind`, seen.stalled.length);
  report(`${whose}MB/s without`, quietRate);
  report(`${whose}MB/s beside`, stalledRate);
  report(`${whose}% kept`, 100 * share);
  report(`${whose}CPU ms per MB without`, cost(seen.quiet));
  // Where nothing has moved, or no dial was answered, there is nothing to tell of what that cost or took.
  if (stalledRate > 0) report(`${whose}CPU ms per MB beside`, cost(seen.stalled));
  report(`${whose}p99 dial without, ms`, quietP99);
  const answered = over(seen.stalled, ({ dialMillis }) => dialMillis).flat().length;
  if (answered > 0) report(`${whose}p99 dial beside, ms`, stalledP99);
  report(`${whose}dials answered beside`, answered);
  report(
    `${whose}longest echo beside, ms`,
    Math.max(...over(seen.stalled, ({ longestEchoMillis }) => longestEchoMillis)),
  );
  report(
    `${whose}oldest dial without answer, ms`,
    Math.max(...over(seen.stalled, ({ pendingMillis }) => pendingMillis)),
  );
}

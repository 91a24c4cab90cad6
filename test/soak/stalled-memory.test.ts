import { afterAll, beforeAll, expect } from "vitest";
import { windowsFor } from "../../shared/grpc/window-tuner.ts";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import type { ProxyProcess } from "../support/processes.ts";
import { measured } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { StalledConnections } from "./stalled-connections.ts";

const mebibyte = 1024 * 1024;
const stalledCount = inSoak(200, 2_000);
/** What one may hold in buffers, whatever its window is: of two sockets or streams, a chunk each above their mark. */
const buffersMaxBytes = 192 * 1024;
/** A window is left as it is for a smaller difference than this. */
const windowFactor = 1.25;

let endpoints: GoEndpoints;
beforeAll(async () => {
  endpoints = await GoEndpoints.start();
});
afterAll(() => endpoints.stop());

/** Up to here a path needs no more than the least window. */
const leastWindowSeconds = 0.000_4;
/** By then both ends are done with the pings of the start. */
const measureMaxMs = 8_000;

const roundTrips = {
  server: "hawser_server_agent_round_trip_max_seconds",
  agent: "hawser_agent_server_round_trip_max_seconds",
} as const;

/** What one stalled connection may hold at this half in one direction. */
async function boundBytesOf(name: keyof typeof roundTrips, half: ProxyProcess): Promise<number> {
  let seconds: number | undefined;
  const measure = async () => {
    seconds = (await half.metrics()).sum(roundTrips[name]);
    return seconds !== undefined && seconds < leastWindowSeconds;
  };
  // Where it never gets as short, the machine is busy, and the bound is what that makes of it.
  await until("a short round trip", measure, { withinMs: measureMaxMs }).catch(() => {});
  return windowFactor * windowsFor((seconds ?? 0) * 1000).streamBytes + buffersMaxBytes;
}

for (const end of ["client", "endpoint"] as const) {
  measured(`R-1.3: memory of ${stalledCount} connections whose ${end} never reads`, 600_000, async (report) => {
    const tunnel = await Tunnel.start({
      server: "hawser",
      agent: "hawser",
      frontend: { protocol: "connect", transport: "uds" },
      serverFlags: ["--max-held-mib=4096"],
      agentFlags: ["--max-held-mib=4096"],
    });
    try {
      const halves = [
        { name: "server" as const, half: tunnel.server },
        { name: "agent" as const, half: tunnel.agents[0] ?? tunnel.server },
      ];
      // By what each end has measured: on a busy machine PINGs take longer than the path is long.
      const bounds = await Promise.all(halves.map(({ name, half }) => boundBytesOf(name, half)));
      const before = halves.map(({ half }) => half.residentBytes());
      const stalled = await StalledConnections.open(tunnel, endpoints, { end, count: stalledCount });
      for (const [index, { name, half }] of halves.entries()) {
        const held = (await half.metrics()).sum(`hawser_${name}_held_bytes`) ?? Number.NaN;
        const boundBytes = bounds[index] ?? 0;
        const grownBytes = half.residentBytes() - (before[index] ?? 0);
        report(`${name}: bound, KiB a connection`, boundBytes / 1024);
        report(`${name}: held, KiB a connection`, held / stalledCount / 1024);
        report(`${name}: growth of its memory, KiB a connection`, grownBytes / stalledCount / 1024);
        report(`${name}: growth of its memory, MiB`, grownBytes / mebibyte);
        expect(held).toBeLessThanOrEqual(boundBytes * stalledCount);
        expect(grownBytes).toBeLessThanOrEqual(2 * boundBytes * stalledCount);
      }
      expect(stalled.endedCount).toBe(0);
      await stalled.close();
      for (const { name, half } of halves) {
        await expect
          .poll(async () => (await half.metrics()).sum(`hawser_${name}_held_bytes`), { timeout: 20_000 })
          .toBe(0);
      }
    } finally {
      await tunnel.stop();
    }
  });
}

import { afterAll, beforeAll, expect } from "vitest";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import type { Implementation, ProxyProcess } from "../support/processes.ts";
import { measured } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { Neighbours, type Window } from "./neighbours.ts";
import { StalledConnections, type StalledEnd } from "./stalled-connections.ts";

/** What one connection that stalls may cost the others, and time for a busy machine. */
const pauseMaxMs = 4_000;
const windowMs = 1_000;
const afterWindows = inSoak(4, 60);

interface Case {
  readonly server: Implementation;
  readonly agent: Implementation;
  readonly end: StalledEnd;
  /** Where the shared stream stands still, and who resets. */
  readonly guard: "server" | "agent";
}
const cases: readonly Case[] = [
  { server: "hawser", agent: "reference-v0.36.0", end: "client", guard: "server" },
  { server: "reference-v0.36.0", agent: "hawser", end: "endpoint", guard: "agent" },
];

let endpoints: GoEndpoints;
beforeAll(async () => {
  endpoints = await GoEndpoints.start();
});
afterAll(() => endpoints.stop());

for (const { server, agent, end, guard } of cases) {
  for (const protocol of inSoak(["connect"] as const, ["grpc", "connect"] as const)) {
    const title = `R-1.5: ${server} server, ${agent} agent, ${protocol} frontend, one ${end} that never reads: a pause of 2 s, once`;
    measured(title, inSoak(90_000, 240_000), async (report) => {
      const tunnel = await Tunnel.start({ server, agent, frontend: { protocol, transport: "uds" } });
      let neighbours: Neighbours | undefined;
      let stalled: StalledConnections | undefined;
      try {
        neighbours = await Neighbours.start(tunnel, endpoints.addresses.echo, { connections: 10 });
        const [theAgent] = tunnel.agents as [ProxyProcess];
        const half = guard === "server" ? tunnel.server : theAgent;
        const resets = async () => (await half.metrics()).sum(`hawser_${guard}_stalled_resets_total`) ?? Number.NaN;
        const windows: Window[] = [];
        const beginsAt = performance.now();
        stalled = await StalledConnections.open(tunnel, endpoints, { end, count: 1, full: false });
        const describe = () => tunnel.describe();
        const reset = async () => {
          await until("the connection to be reset", async () => (await resets()) === 1, { withinMs: 20_000, describe });
          return performance.now() - beginsAt;
        };
        const resetAfter = reset();
        resetAfter.catch(() => {});
        // Through the pause, and on until windows without it have passed.
        for (let past = 0; past < afterWindows; ) {
          const window = await neighbours.window(windowMs);
          windows.push(window);
          if ((await resets()) === 1) past += 1;
          if (windows.length > afterWindows + 30) break;
        }
        report("reset after, s", (await resetAfter) / 1_000);
        const pausesMs = windows.map(({ longestEchoMillis }) => longestEchoMillis);
        const dialsMs = windows.map(({ dialMillis, pendingMillis }) => Math.max(pendingMillis, ...dialMillis));
        report("longest echo beside, s", Math.max(...pausesMs) / 1_000);
        report("longest dial beside, s", Math.max(...dialsMs) / 1_000);
        // The window in which the reset came may hold the end of the pause; those after it must not.
        const later = pausesMs.slice(-(afterWindows - 1));
        report("longest echo after it, s", Math.max(...later) / 1_000);
        expect(windows.flatMap(({ failures }) => failures)).toEqual([]);
        expect(Math.max(...pausesMs)).toBeLessThan(pauseMaxMs);
        expect(Math.max(...dialsMs)).toBeLessThan(pauseMaxMs);
        expect(Math.max(...later)).toBeLessThan(1_000);
        expect(await resets()).toBe(1);
      } finally {
        await stalled?.close();
        await neighbours?.stop();
        await tunnel.stop();
      }
    });
  }
}

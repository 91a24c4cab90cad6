import { afterAll, beforeAll, expect } from "vitest";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import { baselineOf, untilQuiet } from "../interop/quiet.ts";
import { type ChurnResult, runClient } from "../interop/tunnel-client.ts";
import { refusingAddress } from "../support/endpoints.ts";
import { memoryAfterGc, memoryProbe } from "../support/memory-probe.ts";
import type { ProxyProcess } from "../support/processes.ts";
import { measured } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Tunnel } from "../support/tunnel.ts";

/** So many cycles fill what grows once; so many follow, by each of the two frontends. */
const firstCycles = inSoak(2_000, 10_000);
const cycles = inSoak(5_000, 500_000);
/** Of those dials that are neither refused nor reset: a tenth of all. */
const cancelFraction = 0.125;
const growthMax = 1.1;
/** What a few thousand cycles more or less leave in caches and counters of a process that holds some 20 MB. */
const slackBytes = inSoak(2e6, 0);

let endpoints: GoEndpoints;
beforeAll(async () => {
  endpoints = await GoEndpoints.start();
});
afterAll(() => endpoints.stop());

for (const protocol of ["grpc", "connect"] as const) {
  const title = `R-3.3: ${protocol} frontend, ${cycles} cycles of dial and close, a tenth each cancelled, refused and reset`;
  measured(title, inSoak(120_000, 3_600_000), async (report) => {
    const hawser = { server: "hawser", agent: "hawser" } as const;
    const tunnel = await Tunnel.start({ ...hawser, frontend: { protocol, transport: "uds" }, env: memoryProbe });
    try {
      const refusing = await refusingAddress();
      const churn = (dials: number) =>
        runClient<ChurnResult>(tunnel, "churn", [
          `--target=${endpoints.addresses.echo}`,
          `--dials=${dials}`,
          "--parallel=32",
          `--cancel-fraction=${cancelFraction}`,
          `--refusing=${refusing}`,
          `--resetting=${endpoints.addresses.reset}`,
          "--timeout=1h",
        ]);
      const [agent] = tunnel.agents as [ProxyProcess];
      const halves = { server: tunnel.server, agent };
      await churn(firstCycles / 10);
      const quiet = await baselineOf(tunnel, endpoints);
      const look = async () => {
        await untilQuiet(tunnel, endpoints, quiet);
        return { server: await memoryAfterGc(halves.server), agent: await memoryAfterGc(halves.agent) };
      };
      await churn(firstCycles);
      const before = await look();
      const result = await churn(cycles);
      const after = await look();
      report("cycles a second", result.perSecond);
      report("cancelled in time", result.cancelled);
      report("refused", result.refused);
      report("reset", result.reset);
      for (const half of ["server", "agent"] as const) {
        const held = ({ heapUsed, external }: { readonly heapUsed: number; readonly external: number }) =>
          heapUsed + external;
        const [heldBefore, heldAfter] = [held(before[half]), held(after[half])];
        report(`${half}: MB held after GC, before`, heldBefore / 1e6);
        report(`${half}: MB held after GC, after`, heldAfter / 1e6);
        report(`${half}: MB resident, before`, before[half].rss / 1e6);
        report(`${half}: MB resident, after`, after[half].rss / 1e6);
        expect(heldAfter, `bytes that the ${half} holds`).toBeLessThan(growthMax * heldBefore + slackBytes);
        // What V8 and the allocator keep settles after some tens of thousands of cycles only.
        if (slackBytes === 0) expect(after[half].rss, `rss of the ${half}`).toBeLessThan(growthMax * before[half].rss);
      }
      expect(result).toMatchObject({ failed: 0 });
      expect(result.cancelled).toBeGreaterThan(cycles / 50);
    } finally {
      await tunnel.stop();
    }
  });
}

import { afterAll, beforeAll, expect } from "vitest";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import { runClient, type TransferResult } from "../interop/tunnel-client.ts";
import type { ProxyProcess } from "../support/processes.ts";
import { measured } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Tunnel } from "../support/tunnel.ts";
import { Neighbours } from "./neighbours.ts";

const streamCount = inSoak(200, 2_000);
const streamBytes = 5_000_000;
const probeMaxMs = 1_000;
const megabytes = (half: ProxyProcess) => half.peakResidentBytes() / 1e6;

let endpoints: GoEndpoints;
beforeAll(async () => {
  endpoints = await GoEndpoints.start();
});
afterAll(() => endpoints.stop());

for (const protocol of ["grpc", "connect"] as const) {
  const title = `R-1.7: ${protocol} frontend, ${streamCount} streams of 5 MB at once through two agents, a dial a second beside`;
  measured(title, inSoak(120_000, 1_200_000), async (report) => {
    const hawser = { server: "hawser", agent: "hawser" } as const;
    const tunnel = await Tunnel.start({ ...hawser, agentCount: 2, frontend: { protocol, transport: "uds" } });
    const { echo, narrow } = endpoints.addresses;
    let probe: Neighbours | undefined;
    try {
      probe = await Neighbours.start(tunnel, echo, { connections: 0, dialers: 1, dialPause: "1s" });
      const sizes = [`--bytes=${streamCount * streamBytes}`, `--connections=${streamCount}`, "--timeout=20m"];
      const running = runClient<TransferResult>(tunnel, "transfer", [`--target=${narrow}`, ...sizes]);
      let ended = false;
      running.finally(() => (ended = true)).catch(() => {});
      const dialMillis: number[] = [];
      do {
        const window = await probe.window(2_000);
        expect(window.failures).toEqual([]);
        dialMillis.push(...window.dialMillis, window.pendingMillis);
      } while (!ended);
      const { digestsEqual, megabytesPerSecond } = await running;
      report("streams whose digests are equal", digestsEqual);
      report("MB/s", megabytesPerSecond);
      report("probes and looks at them", dialMillis.length);
      report("longest probe, ms", Math.max(...dialMillis));
      report("peak of the server, MB", megabytes(tunnel.server));
      report("peak of an agent, MB", Math.max(...tunnel.agents.map(megabytes)));
      expect(digestsEqual).toBe(streamCount);
      expect(Math.max(...dialMillis)).toBeLessThan(probeMaxMs);
    } finally {
      await probe?.stop();
      await tunnel.stop();
    }
  });
}

import { afterAll, beforeAll, expect } from "vitest";
import { linkFromAfar } from "../interop/far-agent.ts";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import { frontendArgs, TunnelClient } from "../interop/tunnel-client.ts";
import { measured } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Tunnel } from "../support/tunnel.ts";
import { median } from "./neighbours.ts";

/**
 * Bulk both ways on one HTTP/2 session between two Node ends locks up for ever, unless one end reads always. The smallest
 * windows are what a link has on one machine; with 15 ms each way they grow to the largest, 16 MiB.
 */
const connections = 32;
const secondsCount = inSoak(5, 60);
const directions = ["down", "up"] as const;

interface Second {
  readonly event: "second";
  readonly bytes: number;
}

let endpoints: GoEndpoints;
beforeAll(async () => {
  endpoints = await GoEndpoints.start();
});
afterAll(() => endpoints.stop());

const cases = [["smallest", 0], ...inSoak([], [["those of 10 ms", 5]] as const), ["16 MiB", 15]] as const;
for (const [windows, delayMs] of cases) {
  for (const protocol of inSoak(["connect"] as const, ["grpc", "connect"] as const)) {
    const title = `${protocol} frontend, ${connections} downloads and ${connections} uploads at once, ${windows} windows: never a second without bytes`;
    measured(title, inSoak(90_000, 300_000), async (report) => {
      const hawser = { server: "hawser", agent: "hawser" } as const;
      const frontend = { protocol, transport: "uds" } as const;
      const tunnel = await Tunnel.start({ ...hawser, frontend, agentCount: delayMs === 0 ? 1 : 0 });
      const stops: (() => Promise<unknown>)[] = [() => tunnel.stop()];
      try {
        if (delayMs > 0) {
          const far = await linkFromAfar(tunnel, delayMs, { implementation: "hawser" });
          stops.unshift(() => far.stop());
        }
        const targets = { down: endpoints.addresses.source, up: endpoints.addresses.discard };
        const flows = await Promise.all(
          directions.map((direction) =>
            TunnelClient.start("flow", [
              ...frontendArgs(tunnel),
              `--direction=${direction}`,
              `--target=${targets[direction]}`,
              `--connections=${connections}`,
              "--timeout=1h",
            ]),
          ),
        );
        for (const flow of flows) stops.unshift(() => flow.process.stop());
        // Both run by then; what the first took before is not looked at.
        await Promise.all(flows.map((flow) => flow.waitFor<Second>("bytes", 0)));
        const skipped = flows.map((flow) => flow.printed<Second>("bytes").length);
        const seconds = await Promise.all(
          flows.map(async (flow, index) => {
            const from = skipped[index] ?? 0;
            await flow.waitFor<Second>("bytes", from + secondsCount - 1, 2 * secondsCount * 1_000 + 30_000);
            return flow.printed<Second>("bytes").slice(from, from + secondsCount);
          }),
        );
        const rates = seconds.map((each) => each.map(({ bytes }) => bytes / 1e6));
        for (const [index, direction] of directions.entries()) {
          report(`MB/s ${direction}`, median(rates[index] ?? []));
          report(`least MB in a second ${direction}`, Math.min(...(rates[index] ?? [])));
        }
        report("MB/s both ways", median(rates[0] ?? []) + median(rates[1] ?? []));
        for (const rate of rates) expect(Math.min(...rate)).toBeGreaterThan(0);
      } finally {
        for (const stop of stops) await stop();
      }
    });
  }
}

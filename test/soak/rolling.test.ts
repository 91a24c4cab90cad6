import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { frontendArgs, TunnelClient } from "../interop/tunnel-client.ts";
import { httpEndpoint } from "../support/endpoints.ts";
import type { ProxyProcess } from "../support/processes.ts";
import { measured } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Tunnel } from "../support/tunnel.ts";

/** Each agent of two is replaced so often. One that drains stays for 10 s without a connection. */
const times = inSoak(1, 3);
const callEvery = "20ms";
/** How soon an agent that drains has to be spared, and how often it is looked at from then on. */
const sparedWithinMs = 200;
const lookEveryMs = 250;

interface Calls {
  readonly calls: number;
  readonly failed: number;
  readonly failures: readonly string[] | null;
  readonly p50Millis: number;
  readonly p99Millis: number;
  readonly longestMillis: number;
  readonly behindMillis: number;
}

for (const protocol of inSoak(["grpc"] as const, ["grpc", "connect"] as const)) {
  const title = `R-6.3, R-6.1: ${protocol} frontend, two agents replaced one after the other under 50 new HTTPS calls a second: none fails`;
  measured(title, inSoak(120_000, 600_000), async (report) => {
    const hawser = { server: "hawser", agent: "hawser" } as const;
    const tunnel = await Tunnel.start({ ...hawser, agentCount: 2, frontend: { protocol, transport: "uds" } });
    const { endpoint: pair, endpointCa } = tunnel.workspace.certificates;
    const tls = { cert: readFileSync(pair.cert, "utf8"), key: readFileSync(pair.key, "utf8") };
    const webhook = await httpEndpoint({ tls });
    let caller: TunnelClient | undefined;
    try {
      caller = await TunnelClient.start("calls", [
        ...frontendArgs(tunnel),
        `--url=https://${webhook.address}/validate`,
        `--endpoint-ca=${endpointCa}`,
        `--every=${callEvery}`,
        "--timeout=1h",
      ]);
      await caller.waitFor<{ readonly everyMillis: number }>("everyMillis", 0);
      const startedAt = performance.now();
      const late: number[] = [];
      const drains: number[] = [];
      for (let round = 1; round <= times; round++) {
        for (let index = 0; index < 2; index++) {
          // The oldest goes; the new one is there before the next goes.
          const { lateDials, seconds } = await replace(tunnel);
          late.push(lateDials);
          drains.push(seconds);
        }
      }
      const minutes = (performance.now() - startedAt) / 60_000;
      caller.process.stdin.end();
      const { ok, result, error } = await caller.outcome<Calls>();
      if (!ok || result === undefined) throw new Error(`calls: ${error}`);
      report("minutes", minutes);
      report("calls", result.calls);
      report("failed", result.failed);
      report("p50, ms", result.p50Millis);
      report("p99, ms", result.p99Millis);
      report("longest, ms", result.longestMillis);
      report("seconds from SIGTERM to exit, most", Math.max(...drains));
      report("dials to an agent later than 200 ms after SIGTERM, most", Math.max(...late));
      expect(result.failures ?? []).toEqual([]);
      expect(result.failed).toBe(0);
      expect(result.calls).toBeGreaterThan(minutes * 60 * 40);
      expect(Math.max(...late)).toBe(0);
    } finally {
      await caller?.process.stop();
      await tunnel.stop();
      await webhook.close();
    }
  });
}

/** Ends the oldest agent by SIGTERM and starts another in its place. Rejects unless it exits with 0. */
async function replace(tunnel: Tunnel): Promise<{ readonly lateDials: number; readonly seconds: number }> {
  const [leaving] = tunnel.agents.splice(0, 1) as [ProxyProcess];
  const startedAt = performance.now();
  leaving.kill("SIGTERM");
  // Its own page tells it until it goes: is about a time, so one is waited for.
  await sleep(sparedWithinMs);
  const before = await dialsOf(leaving);
  if (before === undefined) throw new Error(`it was gone within ${sparedWithinMs} ms\n${leaving.describe()}`);
  let last = before;
  while (!leaving.gone.aborted) {
    const now = await dialsOf(leaving);
    if (now === undefined) break;
    last = now;
    await sleep(lookEveryMs);
  }
  const exit = await leaving.exited;
  const seconds = (performance.now() - startedAt) / 1_000;
  expect(exit).toEqual({ code: 0, signal: null });
  await tunnel.addAgent();
  return { lateDials: last - before, seconds };
}

/** How many dials it has answered; undefined when its page is gone. */
async function dialsOf(agent: ProxyProcess): Promise<number | undefined> {
  try {
    return await agent.metric("dial_duration_seconds_count");
  } catch {
    return undefined;
  }
}

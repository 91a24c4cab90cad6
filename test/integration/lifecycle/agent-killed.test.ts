import { once } from "node:events";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bulkEndpoint, carryBulk } from "../../support/bulk.ts";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import type { ProxyProcess } from "../../support/processes.ts";
import { Scene } from "../../support/scene.ts";
import { leastOf, timeOf } from "../../support/standstill.ts";
import type { FrontendProtocol } from "../../support/transfers.ts";

/** From SIGKILL to the last frontend that knows. */
const noticedWithinMs = 1_000;

let scene: Scene;
let echo: Endpoint;
beforeEach(async () => {
  scene = await Scene.start({ agentCount: 2, serverFlags: ["--mode=auto", "--proxy-strategies=default"] });
  echo = await echoEndpoint();
});
afterEach(async () => {
  await scene.stop();
  await echo.close();
});

const openAt = (agent: ProxyProcess) => agent.metric("open_endpoint_connections");
const ended = (duplex: Duplex) => new Promise<void>((resolve) => duplex.once("end", resolve).once("close", resolve));

/** Opens connections until each agent carries some; which one a dial goes to is chance. */
async function openOnBoth(address: string, protocol: FrontendProtocol): Promise<Duplex[]> {
  const connections: Duplex[] = [];
  for (;;) {
    connections.push((await scene.connection(address, protocol)).duplex);
    const counts = await Promise.all(scene.tunnel.agents.map(openAt));
    if (Math.min(...counts) >= 2) return connections;
  }
}

function bothAgents(): [ProxyProcess, ProxyProcess] {
  const [victim, survivor] = scene.tunnel.agents;
  if (victim === undefined || survivor === undefined) throw new Error("two agents are needed");
  return [victim, survivor];
}

/** Resolves to how long it took until so many connections had ended, and to them. */
async function killAndCount(
  victim: ProxyProcess,
  connections: readonly Duplex[],
  lostCount: number,
): Promise<{ readonly lost: Set<Duplex>; readonly tookMs: number }> {
  const lost = new Set<Duplex>();
  const allLost = new Promise<void>((resolve) => {
    for (const connection of connections) {
      void ended(connection).then(() => {
        if (lost.add(connection).size === lostCount) resolve();
      });
    }
  });
  scene.tunnel.killAgent(victim);
  return { tookMs: await timeOf(allLost), lost };
}

describe.each(["grpc", "connect"] as const)("by %s", (protocol) => {
  test("an agent dies: its idle connections end within 1 s, the other's go on, and it is used when it is back", async () => {
    const [victim, survivor] = bothAgents();
    const connections = await openOnBoth(echo.address, protocol);
    for (const connection of connections) connection.resume();
    const lostCount = await openAt(victim);
    const { lost, tookMs } = await killAndCount(victim, connections, lostCount);
    expect(tookMs).toBeLessThan(noticedWithinMs);
    const alive = connections.filter((connection) => !lost.has(connection));
    expect(alive.length).toBe(await openAt(survivor));
    for (const connection of alive) {
      connection.write("hello");
      expect(String((await once(connection, "data"))[0])).toBe("hello");
    }
    const back = await scene.tunnel.addAgent("agent-0");
    while ((await openAt(back)) === 0) await scene.connection(echo.address, protocol);
    await scene.settle();
  });

  test("an agent dies while uploads and downloads fill its link: they all end within 1 s", async () => {
    const lostMs = await leastOf(noticedWithinMs, "the end of its connections", async () => {
      const [victim] = bothAgents();
      const busy = await scene.endpoint(bulkEndpoint(3));
      const connections = await openOnBoth(busy.address, protocol);
      const lostCount = await openAt(victim);
      await Promise.all(connections.map(carryBulk));
      const { tookMs } = await killAndCount(victim, connections, lostCount);
      await scene.settle();
      await scene.tunnel.addAgent();
      return tookMs;
    });
    expect(lostMs).toBeLessThan(noticedWithinMs);
  });
});

import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { bulkEndpoint, carryBulk } from "../support/bulk.ts";
import { echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import type { Scene } from "../support/scene.ts";
import { leastOf, timeOf } from "../support/standstill.ts";
import { until } from "../support/until.ts";
import { links, onScene, protocols } from "./fault-scene.ts";

const connectionCount = 8;
const lostWithinMs = 1_000;
/** Far longer, for one that is left to time out. */
const lostAtAllWithinMs = 20_000;
/** TCP tells of the death at once; time for a busy machine. */
const noticedWithinMs = 5_000;

const ended = (duplex: Duplex) =>
  new Promise<void>((resolve) => {
    duplex.once("end", resolve).once("close", resolve);
  });

/** As many connections by either protocol, all full both ways. */
async function openBulk(scene: Scene): Promise<Duplex[]> {
  const bulk = await scene.endpoint(bulkEndpoint(3));
  const connections = await Promise.all(
    Array.from({ length: connectionCount }, (_, index) =>
      scene.connection(bulk.address, protocols[index % protocols.length]),
    ),
  );
  const duplexes = connections.map(({ duplex }) => duplex);
  await Promise.all(duplexes.map(carryBulk));
  return duplexes;
}

async function dialsSucceed(scene: Scene): Promise<void> {
  const echo = await scene.endpoint(echoEndpoint());
  for (const protocol of protocols) {
    const { duplex } = await scene.connection(echo.address, protocol);
    duplex.write("hello");
    expect((await readBytes(duplex, 5)).toString()).toBe("hello");
  }
}

/** Kills the only agent; resolves to how long its connections take to end. */
async function killInBulk(scene: Scene): Promise<number> {
  const duplexes = await openBulk(scene);
  const [agent] = scene.tunnel.agents;
  if (agent === undefined) throw new Error("an agent is needed");
  let endedCount = 0;
  for (const duplex of duplexes) void ended(duplex).then(() => endedCount++);
  scene.tunnel.killAgent(agent);
  return timeOf(
    until("the end of its connections", () => endedCount === connectionCount, {
      withinMs: lostAtAllWithinMs,
      signal: scene.tunnel.server.gone,
      describe: () => `${endedCount} have ended\n${scene.tunnel.describe()}`,
    }),
  );
}

test.each(links)(
  "R-2.5: an agent on $link is killed in bulk: its connections end at the frontend within 1 s, and nothing is left of it",
  async ({ agentFlags }) => {
    await onScene({ agentFlags }, async (scene) => {
      const lostMs = await leastOf(lostWithinMs, "the end of its connections", async () => {
        const tookMs = await killInBulk(scene);
        await scene.tunnel.serverCounts(0);
        await scene.tunnel.addAgent();
        return tookMs;
      });
      expect(lostMs).toBeLessThan(lostWithinMs);
      await dialsSucceed(scene);
    });
  },
);

test.each(links)(
  "a server is killed in bulk: its agents on $link drop all that was its, and serve the next one",
  async ({ agentFlags }) => {
    await onScene({ agentCount: 2, agentFlags }, async (scene) => {
      await openBulk(scene);
      const { tunnel } = scene;
      const atWork = tunnel.agents.map((agent) => agent.openDescriptors());
      await tunnel.killServer();
      const dropped = async () => {
        const open = await Promise.all(tunnel.agents.map((agent) => agent.metric("open_endpoint_connections")));
        return open.every((count) => count === 0);
      };
      const describe = () => tunnel.describe();
      await until("the agents to drop its connections", dropped, { withinMs: noticedWithinMs, describe });
      const held = tunnel.agents.reduce((total, agent) => total + agent.openDescriptors(), 0);
      expect(held).toBeLessThan(atWork.reduce((total, count) => total + count, 0));
      await tunnel.restartServer();
      await dialsSucceed(scene);
    });
  },
);

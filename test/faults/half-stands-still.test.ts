import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { echoEndpoint } from "../support/endpoints.ts";
import { readAll, readBytes } from "../support/frontend-client.ts";
import type { ProxyProcess } from "../support/processes.ts";
import type { Scene } from "../support/scene.ts";
import { inSoak } from "../support/soak.ts";
import { timeOf } from "../support/standstill.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";
import { links, onScene, protocols } from "./fault-scene.ts";

/** The deadline of a dial, and time for a busy machine. */
const dialWithinMs = 9_000;
/** The same for a dial that has nobody to wait for. */
const freshDialWithinMs = 2_000;
/** Of a lost agent's connections, and far longer, for one that is left to time out. */
const lostWithinMs = 1_000;
const lostAtAllWithinMs = 20_000;
/** Silence after which a peer is given up, the ping before it, and time for a busy machine. */
const givenUpWithinMs = 20_000;
/** An agent on the reference's link, whose pings a server may punish, is as patient as that. */
const givenUpOnReferenceLinkWithinMs = 60_000;

const ended = (duplex: Duplex) =>
  new Promise<void>((resolve) => {
    duplex.resume().once("end", resolve).once("close", resolve);
  });

async function echoes(scene: Scene, address: string, protocol: (typeof protocols)[number]): Promise<Duplex> {
  const { duplex } = await scene.connection(address, protocol);
  duplex.write("hello");
  expect((await readBytes(duplex, 5)).toString()).toBe("hello");
  return duplex;
}

/** Where both agents serve a destination, the one that linked first is asked first. */
function bothAgents(scene: Scene): [ProxyProcess, ProxyProcess] {
  const [first, second] = scene.tunnel.agents;
  if (first === undefined || second === undefined) throw new Error("two agents are needed");
  return [first, second];
}

const linked = (agent: ProxyProcess) => agent.metric("open_server_connections");

test.concurrent.each(links)(
  "R-2.3, R-2.4: an agent on $link stands still: its dials go to the other, it is given up, and serves again when it moves",
  async ({ agentFlags }) => {
    await onScene({ agentCount: 2, agentFlags }, async (scene) => {
      const [still, other] = bothAgents(scene);
      const echo = await scene.endpoint(echoEndpoint());
      const lost = await Promise.all(protocols.map((protocol) => echoes(scene, echo.address, protocol)));
      const lostEnds = Promise.all(lost.map(ended));
      still.kill("SIGSTOP");
      const dials = Array.from({ length: 10 }, (_, index) =>
        echoes(scene, echo.address, protocols[index % 2] ?? "grpc"),
      );
      await within(dialWithinMs, "answers to the dials that waited for the agent", Promise.all(dials));
      await within(freshDialWithinMs, "a dial past the agent", echoes(scene, echo.address, "grpc"));
      expect(await other.metric("open_endpoint_connections")).toBe(11);
      await scene.tunnel.serverCounts(1);
      const allLost = within(lostAtAllWithinMs, "the end of the lost agent's connections", lostEnds);
      expect(await timeOf(allLost)).toBeLessThan(lostWithinMs);

      still.kill("SIGCONT");
      await scene.tunnel.serverCounts(2);
      scene.tunnel.killAgent(other);
      await scene.tunnel.serverCounts(1);
      for (const protocol of protocols) await echoes(scene, echo.address, protocol);
      expect(await still.metric("open_endpoint_connections")).toBe(2);
    });
  },
);

test.concurrent.each(links)(
  "R-2.4: the only agent, on $link, stands still: its dials end with a reason within the deadline",
  async ({ agentFlags }) => {
    await onScene({ agentFlags }, async (scene) => {
      const echo = await scene.endpoint(echoEndpoint());
      const agent = scene.tunnel.agents[0];
      agent?.kill("SIGSTOP");
      const socket = await scene.socket();
      socket.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
      const [answer, grpc] = await within(
        dialWithinMs,
        "answers to the dials",
        Promise.all([readAll(socket), scene.dialGrpc(echo.address).catch((error: Error) => error.message)]),
      );
      expect(answer).toMatch(/^HTTP\/1\.1 50[24] .*\r\n\r\n.+/s);
      expect(grpc).toMatch(/the agent does not answer|timed out waiting for backend dial/);
      agent?.kill("SIGCONT");
      await scene.tunnel.serverCounts(1);
      await echoes(scene, echo.address, "connect");
    });
  },
);

test.concurrent.each(inSoak(links.slice(0, 1), links))(
  "a server stands still: its agents on $link give it up with all its connections, and come back when it moves",
  async ({ link, agentFlags }) => {
    await onScene({ agentCount: 2, agentFlags }, async (scene) => {
      const { server, agents } = scene.tunnel;
      const echo = await scene.endpoint(echoEndpoint());
      const lost = await Promise.all(protocols.map((protocol) => echoes(scene, echo.address, protocol)));
      const lostEnds = Promise.all(lost.map(ended));
      server.kill("SIGSTOP");
      const givenUp = async () => {
        const left = await Promise.all(
          agents.flatMap((agent) => [linked(agent), agent.metric("open_endpoint_connections")]),
        );
        return left.every((count) => count === 0);
      };
      const withinMs = link === "lanes" ? givenUpWithinMs : givenUpOnReferenceLinkWithinMs;
      await until("the server to be given up", givenUp, { withinMs, describe: () => scene.tunnel.describe() });
      // What the agents have closed comes to this process later.
      await until("the endpoint to see the closes", () => echo.openCount === 0, { withinMs: 5_000 });

      server.kill("SIGCONT");
      await within(5_000, "the end of the connections at the frontend", lostEnds);
      const back = async () => (await Promise.all(agents.map(linked))).every((count) => count === 1);
      await until("the agents to link again", back, server.withinStart());
      await scene.tunnel.serverCounts(2);
      for (const protocol of protocols) await echoes(scene, echo.address, protocol);
    });
  },
);

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Scene } from "../support/scene.ts";
import { type AgentScene, useAgentScene } from "./agent-scene.ts";
import { protocols, useFaultScene } from "./fault-scene.ts";
import { codes, eachStand, resets } from "./held-lane.ts";
import { isReset, LanesAtAgent, passes as passesAtAgent, standsAtAgent } from "./lanes-at-agent.ts";
import { isOver, LanesAtServer, passes, standsAtServer } from "./lanes-at-server.ts";
import { inTurn } from "./repeat.ts";

describe("at the server: an agent resets", () => {
  let scene: Scene;
  let lanes: LanesAtServer;
  useFaultScene({}, (started) => {
    scene = started;
  });
  beforeEach(async () => {
    lanes = await LanesAtServer.link(scene);
  });
  afterEach(() => lanes.close());

  test.each(eachStand(standsAtServer))(
    "a lane that is $stand: that one is lost, and nothing beside it",
    async ({ hold }) => {
      const ways = resets.flatMap((reset) => protocols.map((protocol) => ({ reset, protocol })));
      const neighbour = await lanes.open();
      let lost = await lanes.lostCount();
      await inTurn(ways, async ({ reset, protocol }) => {
        const held = await hold(lanes, protocol);
        held.lane.channel.reset(codes[reset]);
        await lanes.raw.agent.ping();
        await held.lost();
        await passes(neighbour);
        await passes(await lanes.openWithoutSpare());
        lost += held.carries ? 1 : 0;
        await expect.poll(() => lanes.lostCount(), { timeout: 5_000 }).toBe(lost);
      });
      expect(lanes.raw.link.channel.stream.destroyed).toBe(false);
    },
  );

  test.each(resets)(
    "its Link with %s: all of that link's lanes are lost, and the same agent may link again",
    async (reset) => {
      const open = await lanes.open();
      const dialing = await standsAtServer.dialing(lanes);
      lanes.raw.link.channel.reset(codes[reset]);
      await isOver(open.client);
      await dialing.lost();
      await lanes.close();
      lanes = await lanes.linkAnew();
      await passes(await lanes.open());
    },
  );
});

describe("at the agent: a server resets", () => {
  let scene: AgentScene;
  let lanes: LanesAtAgent;
  useAgentScene((started) => {
    scene = started;
  });
  beforeEach(async () => {
    lanes = await LanesAtAgent.link(scene);
  });

  test.each(eachStand(standsAtAgent))(
    "a lane that is $stand: that one is lost, and nothing beside it",
    async ({ hold }) => {
      const neighbour = await lanes.open();
      let lost = await lanes.lostCount();
      await inTurn(resets, async (reset) => {
        const held = await hold(lanes);
        held.lane.channel.reset(codes[reset]);
        await held.lost();
        await passesAtAgent(neighbour);
        await passesAtAgent(await lanes.open());
        lost += held.carries ? 1 : 0;
        await expect.poll(() => lanes.lostCount(), { timeout: 5_000 }).toBe(lost);
      });
      expect(lanes.link.channel.stream.destroyed).toBe(false);
    },
  );

  test.each(resets)("its Link with %s: all of that link's lanes are lost, and the agent links again", async (reset) => {
    const open = await lanes.open();
    const dialing = await standsAtAgent.dialing(lanes);
    lanes.link.channel.reset(codes[reset]);
    await isReset(open.endpoint);
    await dialing.lost();
    await passesAtAgent(await (await LanesAtAgent.link(scene)).open());
  });
});

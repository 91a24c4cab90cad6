import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Scene } from "../support/scene.ts";
import { until } from "../support/until.ts";
import { type AgentScene, useAgentScene } from "./agent-scene.ts";
import { useFaultScene } from "./fault-scene.ts";
import { codes, eachStand } from "./held-lane.ts";
import { isReset, LanesAtAgent, passes as passesAtAgent, standsAtAgent } from "./lanes-at-agent.ts";
import { isOnOtherAgent, isOver, LanesAtServer, passes, standsAtServer } from "./lanes-at-server.ts";

const withinMs = 5_000;
/** Half of what an agent that does not answer may keep a dial. */
const atOnceMs = 2_000;

describe("at the server: an agent says GOAWAY while a lane is", () => {
  let scene: Scene;
  let lanes: LanesAtServer;
  let again: LanesAtServer | undefined;
  useFaultScene({}, (started) => {
    scene = started;
  });
  beforeEach(async () => {
    lanes = await LanesAtServer.link(scene);
  });
  afterEach(async () => {
    await lanes.close();
    await again?.close();
    again = undefined;
  });

  /** The agent links once more, and the next dial is carried out on that link. */
  async function linksAgain(): Promise<void> {
    again = await lanes.linkAnew();
    await passes(await again.open());
  }

  const cases = eachStand(standsAtServer);

  test.each(cases)(
    "$stand, and goes on: so does all that it carries, and new dials go to its next link",
    async ({ hold }) => {
      const neighbour = await lanes.open();
      const held = await hold(lanes);
      lanes.raw.agent.goaway(codes.NO_ERROR);
      await lanes.raw.agent.ping();
      await passes(neighbour);
      await held.goesOn();
      await linksAgain();
      await passes(neighbour);
    },
  );

  test("busy as all others are: dials that wait for one, and later ones, go to another agent at once", async () => {
    const neighbour = await lanes.open();
    const waiting = lanes.ask();
    await lanes.raw.link.channel.next("lanesWanted");
    lanes.raw.agent.goaway(codes.NO_ERROR);
    const startedAt = performance.now();
    await isOnOtherAgent(waiting);
    await isOnOtherAgent(lanes.ask());
    expect(performance.now() - startedAt).toBeLessThan(atOnceMs);
    await passes(neighbour);
  });

  test.each(cases)("$stand, and ends the session: all is lost with it", async ({ hold }) => {
    const neighbour = await lanes.open();
    const held = await hold(lanes);
    lanes.raw.agent.goaway(codes.NO_ERROR);
    await lanes.close();
    await held.lost();
    await isOver(neighbour.client);
    await linksAgain();
  });

  test.each(cases)("$stand, with ENHANCE_YOUR_CALM: all is lost at once", async ({ hold }) => {
    const neighbour = await lanes.open();
    const held = await hold(lanes);
    lanes.raw.agent.goaway(codes.ENHANCE_YOUR_CALM);
    await held.lost();
    await isOver(neighbour.client);
    await until("the end of the session", () => lanes.raw.agent.sessionClosed, { withinMs });
    await linksAgain();
  });
});

describe("at the agent: a server says GOAWAY while a lane is", () => {
  let scene: AgentScene;
  let lanes: LanesAtAgent;
  useAgentScene((started) => {
    scene = started;
  });
  beforeEach(async () => {
    lanes = await LanesAtAgent.link(scene);
  });

  async function linksAgain(): Promise<void> {
    await passesAtAgent(await (await LanesAtAgent.link(scene)).open());
  }

  const cases = eachStand(standsAtAgent);
  const newest = 2 ** 31 - 1;

  test.each(cases)(
    "$stand, and goes on: so does all that it carries, and the agent links elsewhere",
    async ({ hold }) => {
      const neighbour = await lanes.open();
      const held = await hold(lanes);
      lanes.link.session.goaway(codes.NO_ERROR, newest);
      await linksAgain();
      await passesAtAgent(neighbour);
      await held.goesOn();
    },
  );

  test.each(cases)("$stand that it has not taken: that one is lost, and those before it go on", async ({ hold }) => {
    const neighbour = await lanes.open();
    const held = await hold(lanes);
    lanes.link.session.goaway(codes.NO_ERROR, neighbour.lane.stream.id);
    await held.lost();
    await linksAgain();
    await passesAtAgent(neighbour);
  });

  test.each(cases)("$stand, and ends the session: all is lost with it", async ({ hold }) => {
    const neighbour = await lanes.open();
    const held = await hold(lanes);
    lanes.link.session.goaway(codes.NO_ERROR, newest);
    lanes.link.session.destroy();
    await held.lost();
    await isReset(neighbour.endpoint);
    await linksAgain();
  });

  test.each(cases)("$stand, with ENHANCE_YOUR_CALM: all is lost at once", async ({ hold }) => {
    const neighbour = await lanes.open();
    const held = await hold(lanes);
    lanes.link.session.goaway(codes.ENHANCE_YOUR_CALM, newest);
    await held.lost();
    await isReset(neighbour.endpoint);
    await linksAgain();
    expect(lanes.link.session.destroyed).toBe(true);
  });
});

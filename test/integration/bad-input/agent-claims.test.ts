import { expect, test } from "vitest";
import { type GrpcConnection, readBytes } from "../../support/frontend-client.ts";
import { type RawAgent, rawAgentHost } from "../../support/raw-agent.ts";
import type { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";
import { useScene } from "../../support/use-scene.ts";

let scene: Scene;
useScene({ serverFlags: ["--proxy-strategies=destHost,defaultRoute,default"] }, (started) => {
  scene = started;
});

/** Identifiers that the scene's own agent has. */
const ownIdentifiers = 3;

const identifiersKnown = (strategy: string) =>
  scene.tunnel.server.metric("ready_backends", { proxy_strategy: strategy });

async function untilKnown(strategy: string, count: number): Promise<void> {
  await until(
    `${count} identifiers of ${strategy}`,
    async () => (await identifiersKnown(strategy)) === count,
    scene.tunnel.server.withinStart(),
  );
}

interface Connected {
  readonly client: GrpcConnection;
  readonly agent: RawAgent;
  readonly agentId: bigint;
}

/** A client's connection to `address`, for which the server has to ask this agent. */
async function connectTo(agent: RawAgent, agentId: bigint, address = `${rawAgentHost}:80`): Promise<Connected> {
  const dialing = scene.dialGrpc(address);
  dialing.catch(() => {});
  const { random } = await agent.stream.next("DIAL_REQ");
  agent.stream.send({ type: "DIAL_RSP", random, connectId: agentId, error: "" });
  return { client: await dialing, agent, agentId };
}

async function expectOpen({ client, agent, agentId }: Connected, text: string): Promise<void> {
  client.write(text);
  expect(await agent.stream.next("DATA")).toMatchObject({ connectId: agentId, data: Buffer.from(text) });
  agent.stream.send({ type: "DATA", connectId: agentId, data: Buffer.from(text.toUpperCase()) });
  expect((await readBytes(client, text.length)).toString()).toBe(text.toUpperCase());
}

/** Resolves when the server has taken in all that this agent has sent. */
async function heardOf(agent: RawAgent): Promise<void> {
  agent.stream.send({ type: "DATA", connectId: 99n, data: Buffer.from("sync") });
  expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 99n });
}

/** The scene's own agent is asked, and finds nothing there. */
async function expectAskedElsewhere(address: string): Promise<void> {
  await expect(scene.dialGrpc(address)).rejects.toThrow("connection refused");
}

test("two agents with one id: the first is asked, then the second, and nothing of the one reaches the other", async () => {
  const first = await scene.rawAgent({ agentId: "twin" });
  const second = await scene.rawAgent({ agentId: "twin" });
  const ofFirst = [await connectTo(first, 1n), await connectTo(first, 2n), await connectTo(first, 3n)];

  first.stream.send({ type: "DRAIN" });
  await heardOf(first);
  // The same number as a connection of the first has.
  const ofSecond = await connectTo(second, 1n);
  for (const connection of [...ofFirst, ofSecond]) await expectOpen(connection, `${connection.agentId} goes on`);

  second.stream.send({ type: "DATA", connectId: 2n, data: Buffer.from("intruder") });
  expect(await second.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 2n });
  second.stream.send({ type: "CLOSE_RSP", connectId: 3n, error: "" });
  await heardOf(second);
  for (const connection of [...ofFirst, ofSecond]) await expectOpen(connection, `${connection.agentId} still does`);

  await first.session.close();
  for (const { client } of ofFirst) expect(await readBytes(client, 1)).toHaveLength(0);
  await expectOpen(ofSecond, "the second one's goes on");
  await expectOpen(await connectTo(second, 2n), "and new ones come");
});

test("the first of two agents with one id dies with a dial unanswered: the second is asked for it", async () => {
  const first = await scene.rawAgent({ agentId: "twin" });
  const second = await scene.rawAgent({ agentId: "twin" });
  const dialing = scene.dialGrpc(`${rawAgentHost}:80`);
  const { random } = await first.stream.next("DIAL_REQ");
  await first.session.close();
  expect(await second.stream.next("DIAL_REQ")).toMatchObject({ random });
  second.stream.send({ type: "DIAL_RSP", random, connectId: 7n, error: "" });
  await expectOpen({ client: await dialing, agent: second, agentId: 7n }, "here");
});

test.each([
  ["default-route=true&default-route=false", 1],
  ["default-route=false&default-route=true", 0],
  ["default-route=&default-route=true", 0],
  ["default-route=yes", 0],
])("of %j the first value counts", async (identifiers, count) => {
  const agent = await scene.rawAgent({ identifiers: `${identifiers}&ipv4=${rawAgentHost}` });
  await untilKnown("destHost", ownIdentifiers + 1);
  expect(await identifiersKnown("defaultRoute")).toBe(count);
  if (count > 0) await expectOpen(await connectTo(agent, 1n, "127.0.0.9:80"), "all is mine");
});

test("an address that an agent claims twice is claimed once, and not at all when it has gone", async () => {
  const agent = await scene.rawAgent({ identifiers: `ipv4=${rawAgentHost}&ipv4=${rawAgentHost}&host=${rawAgentHost}` });
  await untilKnown("destHost", ownIdentifiers + 1);
  await expectOpen(await connectTo(agent, 1n), "once");
  await agent.session.close();
  await untilKnown("destHost", ownIdentifiers);
  await expectAskedElsewhere(`${rawAgentHost}:80`);
});

test("a host that two agents claim is the first one's while that is there, then the other's, then nobody's", async () => {
  const address = "shared.localhost:1";
  const first = await scene.rawAgent({ agentId: "a", identifiers: "host=shared.localhost" });
  const second = await scene.rawAgent({ agentId: "b", identifiers: "host=SHARED.localhost&host=other.localhost" });
  await untilKnown("destHost", ownIdentifiers + 2);
  const held = await connectTo(first, 1n, address);
  await expectOpen(await connectTo(second, 1n, "other.localhost:1"), "mine alone");
  await expectOpen(held, "mine first");
  await first.session.close();
  expect(await readBytes(held.client, 1)).toHaveLength(0);
  await expectOpen(await connectTo(second, 2n, address), "mine now");
  await second.session.close();
  await untilKnown("destHost", ownIdentifiers);
});

test.each([
  ["a semicolon", "host=a;host=b"],
  ["a broken escape", "host=%zz"],
  ["4 KiB and a byte", `host=${"a".repeat(4092)}`],
])("identifiers with %s are refused, and nothing of them is kept", async (_what, identifiers) => {
  const session = await scene.agentSession();
  const stream = session.open("/AgentService/Connect", { agentid: "odd", agentidentifiers: identifiers });
  expect(await stream.ended).toMatchObject({
    status: 2,
    message: expect.stringMatching(/url encoded|identifiers must be/),
  });
  expect(await identifiersKnown("destHost")).toBe(ownIdentifiers);
});

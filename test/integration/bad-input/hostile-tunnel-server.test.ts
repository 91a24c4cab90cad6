import { afterEach, beforeEach, expect, test } from "vitest";
import { lanesMax } from "../../../agent/links/spare-lanes.ts";
import { encodeLinkMessage, type LaneMessage } from "../../../shared/tunnel/messages.ts";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { type ProxyProcess, startAgent } from "../../support/processes.ts";
import { framed } from "../../support/raw-grpc.ts";
import { type RawLane, type RawLink, RawTunnelServer, type ServedCall } from "../../support/raw-tunnel.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";
import { Workspace } from "../../support/workspace.ts";

/** Our agent and a server that it trusts, and that speaks as none should. */

const mebibyte = 1024 * 1024;
const cancel = 8;

const workspace = new Workspace();
let server: RawTunnelServer;
let agent: ProxyProcess;
let echo: Endpoint;
let link: ServedCall<RawLink>;

beforeEach(async () => {
  echo = await echoEndpoint();
  server = await RawTunnelServer.start(workspace.certificates);
  const welcomed = server.welcome();
  agent = await startAgent({ implementation: "hawser", workspace, agentPort: server.port, agentId: "agent-0" });
  link = await welcomed;
});
afterEach(async () => {
  agent.gone.throwIfAborted();
  await agent.stop();
  await server.stop();
  await echo.close();
});

let dialId = 0n;
const dialOf = (turn: number, address = echo.address): LaneMessage => {
  dialId += 1n;
  return { type: "dial", turn, dialId, address, remainingMs: 8_000, protocol: "tcp" };
};

async function connected(): Promise<ServedCall<RawLane>> {
  const lane = await server.nextLane();
  lane.channel.send(dialOf(1));
  await lane.channel.next("dialed");
  return lane;
}

async function expectOpen(lane: ServedCall<RawLane>): Promise<void> {
  lane.channel.send({ type: "data", data: Buffer.from("hello") });
  expect(await lane.channel.next("data")).toMatchObject({ data: Buffer.from("hello") });
}

const endpointsOpen = async (count: number) => {
  await expect.poll(() => agent.metric("open_endpoint_connections"), { timeout: 10_000 }).toBe(count);
  await expect.poll(() => echo.openCount, { timeout: 10_000 }).toBe(count);
};

const wrongs: readonly (readonly [string, readonly LaneMessage[]])[] = [
  ["a Dial while one is open", [dialOf(2, "127.0.0.1:1")]],
  ["a Dial of a turn that was", [dialOf(1, "127.0.0.1:1")]],
  ["an End of a turn that jumps", [{ type: "end", turn: 7 }]],
  ["a Reset of a turn that jumps", [{ type: "reset", turn: 4_294_967_295, code: "" }]],
  ["an answer", [{ type: "dialed", turn: 1, reached: "" }]],
  [
    "data after End",
    [
      { type: "end", turn: 1 },
      { type: "data", data: Buffer.from("x") },
    ],
  ],
];

test.each(wrongs)("%s ends that lane and frees its endpoint; its neighbour goes on", async (_what, messages) => {
  const [neighbour, lane] = [await connected(), await connected()];
  await endpointsOpen(2);
  lane.channel.send(...messages);
  expect(await lane.channel.ended).toBe(cancel);
  await endpointsOpen(1);
  await expectOpen(neighbour);
});

test("data, an End and garbage on idle lanes end these alone", async () => {
  const neighbour = await connected();
  const lanes = [await server.nextLane(), await server.nextLane(), await server.nextLane(), await server.nextLane()];
  lanes[0]?.channel.send({ type: "data", data: Buffer.from("x") });
  lanes[1]?.channel.send({ type: "end", turn: 0 });
  lanes[2]?.channel.sendMessage(Buffer.from("ff", "hex"));
  lanes[3]?.channel.sendMessage(Buffer.alloc(200 * 1024));
  for (const lane of lanes) expect(await lane.channel.ended).toBe(cancel);
  await expectOpen(neighbour);
});

test("a Dial in one piece with the headers is carried out", async () => {
  const lane = await server.nextLane();
  lane.channel.send(dialOf(1));
  await lane.channel.next("dialed");
  await expectOpen(lane);
});

test("a second Welcome, and Dials behind one another that are reset at once, change nothing", async () => {
  link.channel.send({ type: "welcome", token: Buffer.alloc(16, 9) }, { type: "welcome", token: Buffer.alloc(0) });
  const lane = await server.nextLane();
  for (let turn = 1; turn <= 500; turn++) {
    lane.channel.send(dialOf(turn), { type: "reset", turn, code: "cancelled" });
    let answer = await lane.channel.inbox.take();
    if (answer?.type === "dialed") answer = await lane.channel.inbox.take();
    expect(answer).toMatchObject({ type: "reset", turn });
  }
  await endpointsOpen(0);
  lane.channel.send(dialOf(501));
  await lane.channel.next("dialed");
  await expectOpen(lane);
});

test("LanesWanted of four billion: it opens 20,000, and stays well", async () => {
  const before = agent.residentBytes();
  for (let count = 0; count < 10; count++) link.channel.send({ type: "lanesWanted", count: 0xffff_ffff });
  const answerAll = () => {
    for (const lane of server.lanes.takeAll()) lane.respond();
    return server.laneCount >= lanesMax;
  };
  await until("the lanes", answerAll, { withinMs: 40_000, signal: agent.gone });
  link.channel.send({ type: "lanesWanted", count: 0xffff_ffff }, { type: "ping", number: 1 });
  await link.channel.next("pong");
  answerAll();
  expect(server.laneCount).toBe(lanesMax);
  expect(agent.residentBytes() - before).toBeLessThan(600 * mebibyte);
});

test("a server that ends each lane at once is not asked again without end", async () => {
  for (let count = 0; count < 4; count++) (await server.nextLane()).finish(0);
  const startedAt = performance.now();
  await server.nextLane();
  expect(performance.now() - startedAt).toBeGreaterThan(900);
});

test("R-6.2: Drainings without end on every link: it keeps the first link, and asks at its usual pace", async () => {
  const drainings = Array.from({ length: 10 }, () => ({ type: "draining" }) as const);
  const [startedAt, count] = [performance.now(), 5];
  link.channel.send(...drainings);
  let next = await server.welcome();
  for (let round = 0; round < count; round++) {
    const closed = new Promise<void>((resolve) => next.session.once("close", resolve));
    next.channel.send(...drainings);
    await within(5_000, "the end of the newer link", closed);
    next = await server.welcome();
  }
  // The agent was started with a --sync-interval of 100 ms.
  expect(performance.now() - startedAt).toBeGreaterThan(count * 99);
  expect(link.session.destroyed).toBe(false);
  await expectOpen(await connected());
});

test("Pings without end whose answers nobody reads cost the link, not the agent's memory", async () => {
  const before = agent.residentBytes();
  link.channel.stream.pause();
  const ping = framed(...encodeLinkMessage({ type: "ping", number: 4_000_000_000 }));
  const batch = Buffer.concat(Array.from({ length: 4_000 }, () => ping));
  // Node emits no "close" of a stream while what came before it is not read.
  const closed = new Promise<void>((resolve) => link.session.once("close", resolve));
  for (let sent = 0; sent < 128 * mebibyte && !link.session.destroyed; sent += batch.length) {
    if (!link.channel.sendBytes(batch)) await Promise.race([link.channel.drained(), closed]);
  }
  await within(5_000, "the end of the link", closed);
  expect(agent.residentBytes() - before).toBeLessThan(160 * mebibyte);
});

test("R-2.5: the end of the link closes every endpoint and settles every dial", async () => {
  await connected();
  await connected();
  const dialing = await server.nextLane();
  dialing.channel.send(dialOf(1, "192.0.2.1:1"));
  link.session.destroy();
  await endpointsOpen(0);
});

import { once } from "node:events";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  dialConnect,
  dialGrpc,
  frontendSession,
  newRandom,
  proxyPath,
  readBytes,
} from "../../support/frontend-client.ts";
import { JsAgent, type JsClientCall } from "../../support/grpc-js-tunnel.ts";
import { linkRawTunnel } from "../../support/raw-tunnel.ts";
import { Tunnel } from "../../support/tunnel.ts";
import { until } from "../../support/until.ts";

/** Our server against an agent that is made of grpc-js and tunnel.proto alone. */

let tunnel: Tunnel;
let agent: JsAgent;
let link: JsClientCall;
let token: Buffer;

beforeAll(async () => {
  const frontend = { protocol: "connect", transport: "uds" } as const;
  tunnel = await Tunnel.start({
    server: "hawser",
    agent: "hawser",
    agentCount: 0,
    frontend,
    serverFlags: ["--mode=auto"],
  });
});
afterAll(() => tunnel.stop());

afterEach(async () => {
  agent.close();
  link.cancel();
  await tunnel.serverCounts(0);
  await until("no connection left", async () => (await tunnel.server.metric("established_connections")) === 0, {
    withinMs: 10_000,
  });
});

async function linkAgent(headers: Readonly<Record<string, string>> = {}): Promise<void> {
  agent = new JsAgent(tunnel.workspace.certificates, tunnel.server.agentPort);
  link = agent.link({ agentid: "js-agent", agentidentifiers: "", ...headers });
  token = (await link.next("welcome")).token as Buffer;
  expect((await link.headers).get("serverid")).toHaveLength(1);
  await tunnel.serverCounts(1);
}

async function openLane(): Promise<JsClientCall> {
  const lane = agent.carry(token);
  await lane.headers;
  return lane;
}

/** A frontend's connection through this idle lane; `turn` is the lane's next. */
async function connected(lane: JsClientCall, turn: number) {
  const dialing = dialConnect(tunnel, `node-${turn}:10250`);
  dialing.catch(() => {});
  const dial = await lane.next("dial");
  expect(dial).toMatchObject({ turn, address: `node-${turn}:10250`, protocol: "tcp" });
  expect(dial.remaining_ms).toBeGreaterThan(5_000);
  lane.send({ dialed: { turn, reached: "192.0.2.1:10250" } });
  const socket = await dialing;
  socket.on("error", () => {});
  return socket;
}

async function ended(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.readableEnded && !socket.destroyed) await once(socket, "end");
}

/** Over a Unix socket a connection that is dropped looks to its client like one that ended. */
async function closed(socket: Socket): Promise<void> {
  await ended(socket);
  socket.destroy();
}

test("R-1.1: one lane carries a hundred connections one after the other, each with its own bytes", async () => {
  await linkAgent();
  const lane = await openLane();
  for (let turn = 1; turn <= 100; turn++) {
    const socket = await connected(lane, turn);
    socket.write(`to endpoint ${turn}`);
    expect((await lane.bytes(`to endpoint ${turn}`.length)).toString()).toBe(`to endpoint ${turn}`);
    lane.send({ data: Buffer.from(`to frontend ${turn}`) });
    expect((await readBytes(socket, `to frontend ${turn}`.length)).toString()).toBe(`to frontend ${turn}`);
    // Who ends first alternates.
    if (turn % 2 === 0) {
      socket.end();
      expect(await lane.next("end")).toEqual({ turn });
      lane.send({ end: { turn } });
      await closed(socket);
    } else {
      lane.send({ end: { turn } });
      await ended(socket);
      socket.end();
      expect(await lane.next("end")).toEqual({ turn });
    }
  }
});

test("R-5.4: a half-close of either side leaves the other direction open", async () => {
  await linkAgent();
  const lane = await openLane();
  const request = await connected(lane, 1);
  request.end("request");
  expect((await lane.bytes(7)).toString()).toBe("request");
  expect(await lane.next("end")).toEqual({ turn: 1 });
  lane.send({ data: Buffer.from("answer") });
  lane.send({ end: { turn: 1 } });
  expect((await readBytes(request, 100)).toString()).toBe("answer");

  const answered = await connected(lane, 2);
  lane.send({ data: Buffer.from("all that I have") });
  lane.send({ end: { turn: 2 } });
  expect((await readBytes(answered, 100)).toString()).toBe("all that I have");
  answered.end("thanks");
  expect((await lane.bytes(6)).toString()).toBe("thanks");
  expect(await lane.next("end")).toEqual({ turn: 2 });
});

test("R-5.1: a refusal reaches the client with its text, and the lane is used again", async () => {
  await linkAgent();
  const lane = await openLane();
  for (const [turn, code, status] of [
    [1, "refused", "502 Bad Gateway"],
    [2, "dns", "502 Bad Gateway"],
    [3, "denied", "403 Forbidden"],
    [4, "of a later version", "502 Bad Gateway"],
  ] as const) {
    const dialing = dialConnect(tunnel, "node:1").catch((error: Error) => error.message);
    expect(await lane.next("dial")).toMatchObject({ turn });
    lane.send({ refused: { turn, code, text: `because of ${code}` } });
    const answer = await dialing;
    expect(answer).toContain(`HTTP/1.1 ${status}`);
    expect(answer).toContain(`because of ${code}`);
  }
  await connected(lane, 5);
});

const resets: readonly (readonly [string, (lane: JsClientCall, turn: number) => Promise<unknown>])[] = [
  [
    "the client leaves while it is dialed, and its reset crosses the answer",
    async (lane, turn) => {
      const session = await frontendSession(tunnel);
      const stream = session.open(proxyPath);
      stream.send({ type: "DIAL_REQ", protocol: "tcp", address: "node:1", random: newRandom() });
      expect(await lane.next("dial")).toMatchObject({ turn });
      stream.cancel();
      expect(await lane.next("reset")).toMatchObject({ turn });
      lane.send({ dialed: { turn } });
      lane.send({ reset: { turn } });
      await session.close();
    },
  ],
  [
    "the client leaves an open connection",
    async (lane, turn) => {
      const session = await frontendSession(tunnel);
      const dialing = dialGrpc(session, "node:1");
      expect(await lane.next("dial")).toMatchObject({ turn });
      lane.send({ dialed: { turn } });
      (await dialing).destroy();
      expect(await lane.next("reset")).toMatchObject({ turn });
      lane.send({ data: Buffer.from("crosses it") });
      lane.send({ reset: { turn } });
      await session.close();
    },
  ],
  [
    "the agent resets an open connection",
    async (lane, turn) => {
      const socket = await connected(lane, turn);
      lane.send({ reset: { turn, code: "unreachable" } });
      expect(await lane.next("reset")).toMatchObject({ turn });
      await closed(socket);
    },
  ],
  [
    "the agent resets after the client's end",
    async (lane, turn) => {
      const socket = await connected(lane, turn);
      socket.end();
      expect(await lane.next("end")).toEqual({ turn });
      lane.send({ reset: { turn } });
      await closed(socket);
    },
  ],
  [
    "the agent resets after its own end",
    async (lane, turn) => {
      const socket = await connected(lane, turn);
      lane.send({ end: { turn } });
      await ended(socket);
      lane.send({ reset: { turn } });
      expect(await lane.next("reset")).toMatchObject({ turn });
      await closed(socket);
    },
  ],
];

test.each(resets)("R-3.2: %s: the lane is used again", async (_name, reset) => {
  await linkAgent();
  const lane = await openLane();
  await reset(lane, 1);
  await reset(lane, 2);
  (await connected(lane, 3)).destroy();
});

/** A field with bytes in it. */
const field = (number: number, ...pieces: readonly Buffer[]): Buffer => {
  const inner = Buffer.concat(pieces);
  return Buffer.concat([Buffer.from([(number << 3) | 2, inner.length]), inner]);
};
/** A field 11 of each wire type. */
const later = Buffer.from(`5801${"5d00000000"}${"590000000000000000"}${"5a016f"}`, "hex");

test("R-17.2: members and fields that it does not know are passed over", async () => {
  await linkAgent();
  const raw = await linkRawTunnel(tunnel, { agentidentifiers: "default-route=true" });
  link.cancel();
  await tunnel.serverCounts(1);
  raw.link.channel.sendMessage(field(9, later));
  raw.link.channel.sendMessage(later);
  const { channel: lane } = await raw.openLane();
  lane.sendMessage(field(15, later));
  const dialing = dialConnect(tunnel, "node:1");
  await lane.next("dial");
  // Dialed of turn 1, and more.
  lane.sendMessage(field(2, Buffer.from("0801", "hex"), later), later);
  const socket = await dialing;
  lane.sendMessage(field(7, later));
  lane.send({ type: "data", data: Buffer.from("still here") });
  expect((await readBytes(socket, 10)).toString()).toBe("still here");
  socket.destroy();
  await raw.agent.close();
});

test("R-6.4: an agent that drains is asked still if there is no other", async () => {
  await linkAgent();
  const lane = await openLane();
  link.send({ draining: {} });
  (await connected(lane, 1)).destroy();
});

test("R-2.3: it asks for lanes when a dial finds none, and for a sign of life when dials wait", async () => {
  await linkAgent();
  const dialing = dialConnect(tunnel, "node-1:10250");
  dialing.catch(() => {});
  expect(await link.next("lanes_wanted")).toEqual({ count: 1 });
  const ping = await link.next("ping");
  link.send({ pong: ping });
  const lane = await openLane();
  expect(await lane.next("dial")).toMatchObject({ turn: 1 });
  lane.send({ dialed: { turn: 1 } });
  (await dialing).destroy();
});

test("R-7.3: an agent that names this server among its own is told so", async () => {
  await linkAgent();
  const serverId = String((await link.headers).get("serverid")[0]);
  const again = agent.link({ agentid: "js-agent", "hawser-linked-servers": `other,${encodeURIComponent(serverId)}` });
  expect((await again.headers).get("serverid")).toEqual([serverId]);
  expect(await again.status).toMatchObject({ code: 6 });
  await tunnel.serverCounts(1);
});

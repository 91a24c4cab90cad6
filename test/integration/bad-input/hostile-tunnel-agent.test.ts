import { createServer } from "node:net";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { prefixBytes } from "../../../shared/grpc/framing.ts";
import { carryPath, linkPath } from "../../../shared/tunnel/headers.ts";
import { decodeLinkMessage, encodeLinkMessage, type LaneMessage } from "../../../shared/tunnel/messages.ts";
import { Endpoint } from "../../support/endpoints.ts";
import { dialGrpc, type GrpcConnection, newRandom, proxyPath, readBytes } from "../../support/frontend-client.ts";
import { agentSocket, rawAgentHost } from "../../support/raw-agent.ts";
import { framed } from "../../support/raw-grpc.ts";
import { clientPreface, FrameReader, requestFrame, settingsAck } from "../../support/raw-http2.ts";
import {
  linkRawTunnel,
  type RawCall,
  type RawLane,
  RawTunnelAgent,
  tokenKey,
  type WelcomedAgent,
} from "../../support/raw-tunnel.ts";
import type { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";
import { useScene } from "../../support/use-scene.ts";
import { within } from "../../support/within.ts";

const unauthenticated = 16;
const failedPrecondition = 9;
const resourceExhausted = 8;
const invalidArgument = 3;
const mebibyte = 1024 * 1024;
/** What a half may grow by under a flood: far less than the flood, more than the collector leaves lying about. */
const growthMaxBytes = 160 * mebibyte;

let scene: Scene;
useScene({ serverFlags: ["--mode=auto", "--v=9"] }, (started) => {
  scene = started;
});
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function link(headers?: Readonly<Record<string, string>>): Promise<WelcomedAgent> {
  const welcomed = await linkRawTunnel(scene.tunnel, headers);
  closers.push(() => welcomed.agent.close());
  return welcomed;
}

async function unlinked(): Promise<RawTunnelAgent> {
  const agent = await RawTunnelAgent.connect(scene.tunnel);
  closers.push(() => agent.close());
  return agent;
}

async function connectOn(lane: RawCall<RawLane>, turn = 1): Promise<GrpcConnection> {
  const dialing = dialGrpc(await scene.session(), `${rawAgentHost}:80`);
  dialing.catch(() => {});
  expect(await lane.channel.next("dial")).toMatchObject({ turn });
  lane.channel.send({ type: "dialed", turn, reached: "" });
  return dialing;
}

/** The client has been told that its connection is over. */
async function over(connection: GrpcConnection): Promise<void> {
  connection.resume();
  await until("the end of the connection", () => connection.readableEnded || connection.destroyed, {
    withinMs: 10_000,
  });
}

/** Bytes go both ways. */
async function expectOpen(lane: RawCall<RawLane>, connection: GrpcConnection): Promise<void> {
  connection.write("there");
  expect(await lane.channel.next("data")).toMatchObject({ data: Buffer.from("there") });
  lane.channel.send({ type: "data", data: Buffer.from("back") });
  expect((await readBytes(connection, 4)).toString()).toBe("back");
}

describe("a lane without a link's token", () => {
  test("is refused alike for no token, another's, an empty and a broken one, and before any Link", async () => {
    const other = await link({ agentid: "other" });
    const { agent } = await link();
    const before = await unlinked();
    const tokens = [
      undefined,
      other.token,
      Buffer.alloc(0),
      Buffer.alloc(15, 7),
      Buffer.alloc(16, 7),
      Buffer.alloc(17, 7),
    ];
    const ends = await Promise.all([
      ...tokens.map((token) => agent.callCarry(token).end),
      before.callCarry(other.token).end,
      before.callCarry().end,
    ]);
    for (const end of ends) {
      expect(end).toEqual({ status: unauthenticated, message: "no link on this connection has this token" });
    }
  });

  test("is refused once the link of its token has ended", async () => {
    const { agent, link: ended, token } = await link();
    ended.channel.reset();
    await ended.end;
    await until("the link to end", async () => (await agent.callCarry(token).end).status === unauthenticated, {
      withinMs: 5_000,
    });
  });

  test("no token is ever in a log", async () => {
    const { agent, token, openLane } = await link();
    await openLane();
    await agent.callCarry(Buffer.from("a-wrong-token-xx")).end;
    const forms = [token, Buffer.from("a-wrong-token-xx")].flatMap((bytes) =>
      (["hex", "base64", "latin1"] as const).map((form) => bytes.toString(form).replace(/=+$/, "")),
    );
    forms.push(JSON.stringify([...token]).slice(1, -1));
    const { server } = scene.tunnel;
    // What it logged about the agents above stands before this.
    await (await scene.rawAgent({ agentId: "comes-last" })).session.close();
    await until("the last agent in the log", () => server.stderr.some((line) => line.includes("comes-last")), {
      withinMs: 5_000,
    });
    expect(server.stderr.some((line) => line.includes("lane refused"))).toBe(true);
    expect(server.stderr.filter((line) => forms.some((form) => line.includes(form)))).toEqual([]);
  });
});

describe("messages out of place", () => {
  const data: LaneMessage = { type: "data", data: Buffer.from("x") };
  const cases: readonly (readonly [string, "idle" | "dialing" | "open" | "ended", readonly LaneMessage[]])[] = [
    ["data", "idle", [data]],
    [
      "a Dial of its own",
      "idle",
      [{ type: "dial", turn: 1, dialId: 1n, address: "127.0.0.1:22", remainingMs: 1, protocol: "tcp" }],
    ],
    ["a Dialed", "idle", [{ type: "dialed", turn: 0, reached: "" }]],
    ["a Refused", "idle", [{ type: "refused", turn: 0, code: "dns", text: "" }]],
    ["an End", "idle", [{ type: "end", turn: 0 }]],
    ["an answer of the next turn", "idle", [{ type: "dialed", turn: 1, reached: "" }]],
    ["data", "dialing", [data]],
    ["an End", "dialing", [{ type: "end", turn: 1 }]],
    ["a Reset", "dialing", [{ type: "reset", turn: 1, code: "" }]],
    ["an answer of a turn that jumps", "dialing", [{ type: "dialed", turn: 3, reached: "" }]],
    [
      "a second Refused",
      "dialing",
      [
        { type: "refused", turn: 1, code: "dns", text: "" },
        { type: "refused", turn: 1, code: "dns", text: "" },
      ],
    ],
    ["a second Dialed", "open", [{ type: "dialed", turn: 1, reached: "" }]],
    ["a Refused after Dialed", "open", [{ type: "refused", turn: 1, code: "dns", text: "" }]],
    [
      "a Dial of its own",
      "open",
      [{ type: "dial", turn: 2, dialId: 1n, address: "127.0.0.1:22", remainingMs: 1, protocol: "tcp" }],
    ],
    ["data after End", "ended", [data]],
    ["a second End", "ended", [{ type: "end", turn: 1 }]],
  ];

  test.each(cases)("%s on a lane that is %s ends that lane; its neighbour goes on", async (_what, state, messages) => {
    const { openLane } = await link();
    const neighbour = await openLane();
    const beside = await connectOn(neighbour);
    const lane = await openLane();
    let client: Promise<GrpcConnection> | undefined;
    if (state === "dialing") {
      client = dialGrpc(await scene.session(), `${rawAgentHost}:80`);
      client.catch(() => {});
      await lane.channel.next("dial");
    } else if (state !== "idle") {
      const connection = await connectOn(lane);
      if (state === "ended") lane.channel.send({ type: "end", turn: 1 });
      client = Promise.resolve(connection);
    }
    lane.channel.send(...messages);
    expect(await within(5_000, "the end of the lane", lane.end)).toMatchObject({ status: failedPrecondition });
    // The client is told: its dial fails or has been tried elsewhere, its connection is over.
    await client?.then(
      (connection) => over(connection),
      () => {},
    );
    await expectOpen(neighbour, beside);
  });

  test("of an earlier turn, and a Reset on an idle lane, are dropped", async () => {
    const { openLane } = await link();
    const lane = await openLane();
    for (let count = 0; count < 1_000; count++) lane.channel.send({ type: "reset", turn: 0, code: "" });
    (await connectOn(lane)).destroy();
    await lane.channel.next("reset");
    lane.channel.send({ type: "reset", turn: 1, code: "" });
    const second = await connectOn(lane, 2);
    lane.channel.send(
      { type: "reset", turn: 1, code: "" },
      { type: "end", turn: 1 },
      { type: "dialed", turn: 0, reached: "" },
      { type: "refused", turn: 1, code: "dns", text: "" },
    );
    await expectOpen(lane, second);
  });
});

describe("messages that are none", () => {
  test.each([
    ["of 200 KiB on an idle lane", Buffer.alloc(200 * 1024), resourceExhausted],
    ["of 9 KiB on an idle lane, of which only the length has come", Buffer.alloc(prefixBytes), resourceExhausted],
    ["of garbage", Buffer.from("ffffffffffffffff", "hex"), failedPrecondition],
    ["that is cut short", Buffer.from("120508", "hex"), failedPrecondition],
  ])("a message %s ends its lane alone", async (what, message, status) => {
    const { link: own, openLane } = await link();
    const lane = await openLane();
    if (what.includes("length")) lane.channel.sendBytes(Buffer.from([0, 0, 0, 0x24, 0]));
    else lane.channel.sendMessage(message);
    expect(await lane.end).toMatchObject({ status });
    expect(own.channel.stream.destroyed).toBe(false);
    await expectOpen(...(await onNewLane(openLane)));
  });

  test("a message of 200 KiB on an open lane ends it, and one of 128 KiB is taken", async () => {
    const { openLane } = await link();
    const lane = await openLane();
    const connection = await connectOn(lane);
    const largest = 128 * 1024 - 4;
    lane.channel.send({ type: "data", data: Buffer.alloc(largest, 1) });
    expect(await readBytes(connection, largest)).toHaveLength(largest);
    lane.channel.send({ type: "data", data: Buffer.alloc(200 * 1024) });
    expect(await lane.end).toMatchObject({ status: resourceExhausted });
    await over(connection);
  });

  test.each([
    ["over 16 KiB", Buffer.alloc(16 * 1024 + 1), resourceExhausted],
    ["of garbage", Buffer.from("ff", "hex"), invalidArgument],
  ])("a Link message %s ends that link with its lanes", async (_what, message, status) => {
    const { link: own, openLane } = await link();
    const lane = await openLane();
    const connection = await connectOn(lane);
    own.channel.sendMessage(message);
    expect(await own.end).toMatchObject({ status });
    await lane.end;
    await over(connection);
  });
});

async function onNewLane(openLane: WelcomedAgent["openLane"]): Promise<[RawCall<RawLane>, GrpcConnection]> {
  const lane = await openLane();
  return [lane, await connectOn(lane)];
}

describe("an agent that does not answer", () => {
  test("R-2.5: a half-closed Link takes its lanes with it", async () => {
    const { link: own, openLane } = await link();
    const lane = await openLane();
    const connection = await connectOn(lane);
    own.channel.stream.end();
    expect(await own.end).toMatchObject({ status: 0 });
    await lane.end;
    await over(connection);
  });

  test("a lane that answers no Dial, of an agent that answers Pings, is freed when the client gives up", async () => {
    const { openLane } = await link();
    const lane = await openLane();
    const session = await scene.session();
    const stream = session.open(proxyPath);
    stream.send({ type: "DIAL_REQ", protocol: "tcp", address: `${rawAgentHost}:80`, random: newRandom() });
    await lane.channel.next("dial");
    stream.cancel();
    expect(await lane.channel.next("reset")).toMatchObject({ turn: 1 });
  });

  test("a lane that never answers a Reset is ended after two seconds, by HTTP/2 at the latest", async () => {
    const { openLane } = await link();
    const lane = await openLane();
    const connection = await connectOn(lane);
    lane.channel.stream.pause();
    // More than the window, so that neither Reset nor trailers can pass.
    connection.write(Buffer.alloc(8 * mebibyte));
    await until("the window to be full", () => connection.writableNeedDrain, { withinMs: 5_000 });
    connection.destroy();
    const startedAt = performance.now();
    // Node emits no "close" while what came before it is not read.
    await until("the end of the lane", () => lane.channel.stream.closed, { withinMs: 8_000 });
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(1_900);
  });
});

type Writes = Pick<RawLane, "sendBytes" | "drained" | "stream">;

describe("floods", () => {
  let residentBefore: number;
  beforeAll(() => {
    residentBefore = scene.tunnel.server.residentBytes();
  });

  async function flood(channel: Writes, batch: Buffer, byteCount: number): Promise<void> {
    for (let sent = 0; sent < byteCount && !channel.stream.destroyed; sent += batch.length) {
      if (!channel.sendBytes(batch)) await channel.drained();
    }
  }
  const repeated = (message: Buffer, count: number) => Buffer.concat(Array.from({ length: count }, () => message));

  test("of Pongs, Drainings and members that nobody knows cost the server nothing", async () => {
    const { link: own, openLane } = await link();
    const messages = [
      Buffer.concat(encodeLinkMessage({ type: "pong", number: 1 })),
      Buffer.concat(encodeLinkMessage({ type: "draining" })),
      Buffer.from("4a00", "hex"),
    ];
    const batch = repeated(Buffer.concat(messages.map((message) => framed(message))), 3_000);
    await flood(own.channel, batch, 16 * mebibyte);
    await expectOpen(...(await onNewLane(openLane)));
    expect(scene.tunnel.server.residentBytes() - residentBefore).toBeLessThan(growthMaxBytes);
  });

  test("of data on an idle lane end the lane", async () => {
    const { openLane } = await link();
    const lane = await openLane();
    const batch = repeated(framed(Buffer.from("2205aaaaaaaaaa", "hex")), 4_000);
    await flood(lane.channel, batch, 64 * mebibyte);
    expect((await lane.end).status ?? failedPrecondition).toBe(failedPrecondition);
    await expectOpen(...(await onNewLane(openLane)));
  });

  test("R-1.4: of data at a client that does not read stop at the window, and hold up nobody", async () => {
    const { openLane } = await link();
    const lane = await openLane();
    const stalled = await connectOn(lane);
    stalled.pause();
    const flooding = flood(lane.channel, framed(Buffer.from("22808004", "hex"), Buffer.alloc(65536)), 64 * mebibyte);
    await expectOpen(...(await onNewLane(openLane)));
    await expectOpen(...(await onNewLane(openLane)));
    expect(scene.tunnel.server.residentBytes() - residentBefore).toBeLessThan(growthMaxBytes);
    stalled.destroy();
    await lane.channel.next("reset");
    lane.channel.reset();
    await flooding;
  });

  test("of lanes that are reset as soon as they are opened cost that agent its connection at most", async () => {
    const { agent, token } = await link();
    for (let count = 0; count < 3_000 && !agent.sessionClosed; count++) {
      const lane = agent.callCarry(token);
      lane.channel.reset();
      if (count % 100 === 0) await Promise.race([lane.end, lane.channel.closed]);
    }
    await expectOpen(...(await onNewLane((await link()).openLane)));
    expect(scene.tunnel.server.residentBytes() - residentBefore).toBeLessThan(growthMaxBytes);
  });

  test("of 100,000 lanes by an agent that heeds no SETTINGS: it gets no more than its share, or loses its connection", async () => {
    const socket = await agentSocket(scene.tunnel);
    closers.push(() => socket.destroy());
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.once("close", resolve));
    const answered = new Set<number>();
    const reset = new Set<number>();
    const frames = new FrameReader(socket, (type, streamId, flags) => {
      if (type === 4 && flags === 0) socket.write(settingsAck);
      if (type === 1) answered.add(streamId);
      if (type === 3) reset.add(streamId);
    });
    socket.write(clientPreface);
    socket.write(requestFrame(1, linkPath, { agentid: "many", agentidentifiers: "host=many" }));
    await until("the Welcome", () => frames.data.length > 0, { withinMs: 5_000 });
    const welcome = decodeLinkMessage(frames.data.subarray(prefixBytes));
    if (welcome.type !== "welcome") throw new Error("no Welcome");
    const carry = { [tokenKey]: welcome.token.toString("base64") };
    const [laneCount, atOnce] = [100_000, 1_000];
    for (let first = 1; first <= laneCount && !socket.destroyed; first += atOnce) {
      const frame = (_none: unknown, offset: number) => requestFrame(2 * (first + offset) + 1, carryPath, carry);
      const written = new Promise((resolve) =>
        socket.write(Buffer.concat(Array.from({ length: atOnce }, frame)), resolve),
      );
      await Promise.race([written, closed]);
    }
    await until("an answer to each, or the end", () => socket.destroyed || answered.size + reset.size > laneCount, {
      withinMs: 30_000,
      describe: () => `${answered.size} answered, ${reset.size} reset, ${JSON.stringify([...frames.counts])}`,
    });
    expect(answered.size).toBeLessThanOrEqual(20_001);
    await expectOpen(...(await onNewLane((await link()).openLane)));
  });
});

test("an agent that calls both kinds of link, and one of them twice, has three that know nothing of each other", async () => {
  const { agent, openLane, token } = await link();
  const second = agent.callLink({ agentid: "second", agentidentifiers: "host=second" });
  const other = await second.channel.next("welcome");
  expect(other.token).not.toEqual(token);
  const reference = await scene.rawAgent({ agentId: "third", identifiers: "host=third" });
  const lane = await openLane();
  const connection = await connectOn(lane);
  second.channel.stream.end();
  await second.end;
  await reference.session.close();
  await expectOpen(lane, connection);
});

test("an agent can open nothing in the control plane, by any message", async () => {
  const controlPlane = await scene.endpoint(Endpoint.listen(createServer()));
  const { address } = controlPlane;
  const { agent, link: own, openLane } = await link();
  const dial: LaneMessage = { type: "dial", turn: 1, dialId: 1n, address, remainingMs: 8_000, protocol: "tcp" };
  const idle = await openLane();
  idle.channel.send(dial);
  await idle.end;
  const open = await openLane();
  const connection = await connectOn(open);
  open.channel.send({ type: "data", data: Buffer.from(`CONNECT ${address} HTTP/1.1\r\n\r\n`) }, { ...dial, turn: 2 });
  await open.end;
  await over(connection);
  // What only a server sends on a Link: an agent's Welcome, LanesWanted and Ping.
  own.channel.send(
    { type: "welcome", token: Buffer.alloc(16) },
    { type: "lanesWanted", count: 9 },
    { type: "ping", number: 1 },
  );
  await expectOpen(...(await onNewLane(openLane)));
  expect(agent.sessionClosed).toBe(false);
  expect(controlPlane.acceptedCount).toBe(0);
});

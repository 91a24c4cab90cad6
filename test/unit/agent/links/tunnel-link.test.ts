import { describe, expect, it } from "vitest";
import { lanesMax } from "../../../../agent/links/spare-lanes.ts";
import { TunnelLink } from "../../../../agent/links/tunnel-link.ts";
import { AgentMetrics } from "../../../../agent/metrics.ts";
import type { DialRequest } from "../../../../shared/dial.ts";
import { ProxyError } from "../../../../shared/errors.ts";
import { GrpcCode, GrpcError } from "../../../../shared/grpc/status.ts";
import type { GrpcClientSession } from "../../../../shared/grpc/stream.ts";
import { bearsToken } from "../../../../shared/tunnel/headers.ts";
import {
  decodeLaneMessage,
  decodeLinkMessage,
  encodeLaneMessage,
  encodeLinkMessage,
  type LaneMessage,
  type LinkMessage,
} from "../../../../shared/tunnel/messages.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeTunnelClientCall } from "../../../support/fake-tunnel-call.ts";
import { LogLines } from "../../../support/log-lines.ts";
import { turn } from "../../../support/turn.ts";

type Lane = FakeTunnelClientCall<LaneMessage>;

const token = Buffer.alloc(16, 7);
const order = { type: "dial", dialId: 7n, address: "10.0.0.1:80", remainingMs: 8_000, protocol: "tcp" } as const;

async function linked() {
  const call = new FakeTunnelClientCall<LinkMessage>({ decode: decodeLinkMessage, encode: encodeLinkMessage });
  const clock = new FakeClock();
  const lines = new LogLines();
  const lanes: Lane[] = [];
  const tokens: boolean[] = [];
  const dials: DialRequest[] = [];
  const lanesRefused: string[] = [];
  const goaways: (() => void)[] = [];
  const session: GrpcClientSession = {
    peer: "192.0.2.1:8091",
    usable: true,
    silentMs: () => 0,
    open: (_path, { metadata } = {}) => {
      const lane: Lane = new FakeTunnelClientCall({ decode: decodeLaneMessage, encode: encodeLaneMessage });
      lanes.push(lane);
      tokens.push(metadata !== undefined && bearsToken(metadata, token));
      return lane;
    },
    onGoaway: (listener) => void goaways.push(listener),
    keepalive: () => {},
    tuneWindows: () => {},
    resetWhenSilent: () => {},
    roundTripMs: undefined,
    close: async () => {},
    abort: () => {},
    closed: new Promise(() => {}),
  };
  const metrics = new AgentMetrics({ version: "test" });
  const link = new TunnelLink(
    {
      session,
      call,
      clock,
      log: lines.log,
      metrics,
      onDial: (request) => dials.push(request),
      onLanesRefused: (reason) => lanesRefused.push(reason),
    },
    { server: { id: "s", count: 1 } },
  );
  link.start();
  await turn();
  const openLanes = async () => {
    for (const lane of lanes) lane.answer();
    await turn();
  };
  const welcomed = async () => {
    call.put({ type: "welcome", token });
    await openLanes();
    return lanes[0] as Lane;
  };
  return { call, clock, lines, link, lanes, tokens, dials, lanesRefused, goaways, openLanes, welcomed };
}

describe("Welcome", () => {
  it("lets it open four lanes that bear the token, and none before", async () => {
    const { call, lanes, tokens } = await linked();
    call.put({ type: "lanesWanted", count: 5 });
    expect(lanes).toHaveLength(0);
    call.put({ type: "welcome", token });
    expect(tokens).toEqual([true, true, true, true]);
  });

  it("a second time changes nothing", async () => {
    const { call, lanes, tokens, welcomed } = await linked();
    await welcomed();
    call.put({ type: "welcome", token: Buffer.alloc(16, 9) }, { type: "lanesWanted", count: 1 });
    expect(lanes).toHaveLength(5);
    expect(tokens.at(-1)).toBe(true);
  });
});

it("LanesWanted(4,294,967,295) opens as many lanes as a link may have, and no more", async () => {
  const { call, lanes, welcomed } = await linked();
  await welcomed();
  for (let count = 0; count < 3; count++) call.put({ type: "lanesWanted", count: 0xffff_ffff });
  expect(lanes).toHaveLength(lanesMax);
});

it("Ping is answered with its number", async () => {
  const { call } = await linked();
  call.put({ type: "ping", number: 3 });
  expect(call.messages()).toEqual([{ type: "pong", number: 3 }]);
});

it("a server that asks without end and reads no answer loses the link", async () => {
  const { call, link } = await linked();
  call.bufferedBytes = 64 * 1024 + 1;
  call.put({ type: "ping", number: 3 });
  expect(link.state).toBe("closed");
  expect((await link.ended).code).toBe("protocol");
});

describe("a dial", () => {
  it("is handed on, answered, and followed by another on the same lane", async () => {
    const { dials, lanes, link, openLanes, welcomed } = await linked();
    const lane = await welcomed();
    expect(link.busy).toBe(false);
    lane.put({ ...order, turn: 1 });
    expect(link.busy).toBe(true);
    expect(dials[0]).toMatchObject({ id: 7n, target: { protocol: "tcp", address: "10.0.0.1:80" } });
    dials[0]?.refuse(new ProxyError("refused", "connection refused"));
    expect(lane.messages()).toEqual([
      { type: "refused", turn: 1, code: "refused", text: "connection refused (dial 7)" },
    ]);
    expect(link.busy).toBe(false);
    lane.put({ ...order, turn: 2 });
    const end = await dials[1]?.accept({ reached: "10.0.0.1:80" });
    expect(lane.messages()).toEqual([{ type: "dialed", turn: 2, reached: "10.0.0.1:80" }]);
    expect(end?.halfClose).toBe(true);
    // One lane is in use, so there is one more.
    await openLanes();
    expect(lanes).toHaveLength(5);
  });

  it("that is reset while it dials is aborted, answered, and may not be accepted any more", async () => {
    const { dials, welcomed } = await linked();
    const lane = await welcomed();
    lane.put({ ...order, turn: 1 }, { type: "reset", turn: 1, code: "cancelled" });
    expect(lane.messages()).toEqual([{ type: "reset", turn: 1, code: "cancelled" }]);
    expect(dials[0]?.signal.aborted).toBe(true);
    await expect(dials[0]?.accept({})).rejects.toMatchObject({ code: "cancelled" });
    dials[0]?.refuse(new ProxyError("refused", "late"));
    expect(lane.messages()).toEqual([]);
  });

  it.each([
    ["comes while one is open", { ...order, turn: 2 }],
    ["jumps a turn", { ...order, turn: 3 }],
    ["has a turn that was", { ...order, turn: 1 }],
  ])("that %s ends that lane alone", async (_what, message) => {
    const { dials, lanes, lines, link, welcomed } = await linked();
    const lane = await welcomed();
    lane.put({ ...order, turn: 1 });
    const end = await dials[0]?.accept({});
    lane.put(message);
    expect(lane.status?.code).toBe(GrpcCode.CANCELLED);
    expect(end?.duplex.errored).toMatchObject({ code: "protocol" });
    expect([link.state, lanes[1]?.status, dials.length]).toEqual(["ready", undefined, 1]);
    expect(lines.of("warn")).toHaveLength(1);
  });

  it.each([
    ["data", { type: "data", data: Buffer.from("x") }],
    ["an end", { type: "end", turn: 0 }],
    ["an answer", { type: "dialed", turn: 0, reached: "" }],
  ] satisfies [string, LaneMessage][])("must come first: %s on an idle lane ends it", async (_what, message) => {
    const { link, welcomed } = await linked();
    const lane = await welcomed();
    lane.put(message);
    expect([lane.status?.code, link.state]).toEqual([GrpcCode.CANCELLED, "ready"]);
  });
});

it("a server whose resets are answered without end, and read by nobody, loses the lane", async () => {
  const { link, welcomed } = await linked();
  const lane = await welcomed();
  lane.bufferedBytes = 256 * 1024 + 1;
  lane.put({ ...order, turn: 1 }, { type: "reset", turn: 1, code: "" });
  expect([lane.status?.code, link.state]).toEqual([GrpcCode.CANCELLED, "ready"]);
});

describe("lanes that the server does not take", () => {
  it.each([GrpcCode.UNAUTHENTICATED, GrpcCode.UNIMPLEMENTED])(
    "for status %i end the link, and the connector hears why",
    async (code) => {
      const { call, lanes, lanesRefused, link } = await linked();
      call.put({ type: "welcome", token });
      for (const lane of lanes) lane.refuse(new GrpcError(code, "no such token"));
      await turn();
      expect([lanesRefused, link.state]).toEqual([["no such token"], "closed"]);
    },
  );

  it("are asked for again after a second where the reason may pass, or where one was taken before", async () => {
    const { call, clock, lanes, lanesRefused, link } = await linked();
    call.put({ type: "welcome", token });
    const [first, ...others] = lanes;
    for (const lane of others) lane.refuse(new GrpcError(GrpcCode.RESOURCE_EXHAUSTED, "full"));
    first?.answer();
    await turn();
    clock.advance(1_000);
    expect(lanes).toHaveLength(7);
    for (const lane of lanes.slice(4)) lane.refuse(new GrpcError(GrpcCode.UNAUTHENTICATED, "odd"));
    await turn();
    expect([lanesRefused, link.state]).toEqual([[], "ready"]);
  });
});

it("lanes that get no answer for 10 s are told of once, and may still be answered", async () => {
  const { call, clock, lanes, lines, link, openLanes, welcomed } = await linked();
  await welcomed();
  call.put({ type: "lanesWanted", count: 2 });
  clock.advance(9_999);
  expect(lines.of("warn")).toEqual([]);
  clock.advance(1);
  expect(lines.of("warn")).toEqual([expect.stringMatching(/limit the streams/)]);
  await openLanes();
  expect([lanes.length, link.lanes.spare]).toEqual([6, 6]);
  call.put({ type: "lanesWanted", count: 20 });
  clock.advance(10_000);
  expect(lines.of("warn")).toHaveLength(1);
});

it("a lane that is not needed is half-closed, and a dial that crosses that is not begun", async () => {
  const { call, clock, dials, lanes, openLanes, welcomed } = await linked();
  await welcomed();
  call.put({ type: "lanesWanted", count: 10 });
  await openLanes();
  clock.advance(60_000);
  const retired = lanes.filter(({ halfClosed }) => halfClosed);
  expect(retired).toHaveLength(lanes.length - 4);
  retired[0]?.put({ ...order, turn: 1 });
  expect([dials, retired[0]?.messages()]).toEqual([[], []]);
});

describe("the end of a link", () => {
  it("R-2.5: ends its lanes, aborts its dials, and leaves no timer", async () => {
    const { call, clock, dials, lanes, link, welcomed } = await linked();
    const lane = await welcomed();
    lane.put({ ...order, turn: 1 });
    lanes[1]?.put({ ...order, turn: 1 });
    const end = await dials[1]?.accept({});
    call.close({ code: GrpcCode.UNAVAILABLE, message: "lost" });
    expect((await link.ended).code).toBe("agent_lost");
    expect(dials[0]?.signal.aborted).toBe(true);
    expect(end?.duplex.destroyed).toBe(true);
    expect(lanes.every(({ status }) => status !== undefined)).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it("comes with a message that cannot be read", async () => {
    const { call, link } = await linked();
    call.receiveMessage(Buffer.from([0xff]));
    expect((await link.ended).code).toBe("protocol");
  });
});

it("R-6.2: Draining and GOAWAY both tell that the server goes away", async () => {
  const { call, goaways, link } = await linked();
  let told = 0;
  link.onGoaway(() => {
    told += 1;
  });
  call.put({ type: "draining" });
  for (const goaway of goaways) goaway();
  expect(told).toBe(2);
  expect(link.state).toBe("ready");
});

it("R-6.1: says once that it drains", async () => {
  const { call, link } = await linked();
  link.drain();
  link.drain();
  expect(call.messages()).toEqual([{ type: "draining" }]);
  expect(link.state).toBe("draining");
});

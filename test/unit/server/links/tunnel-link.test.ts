import { finished } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import type { LinkedConnection } from "../../../../server/links/link.ts";
import { TunnelLink } from "../../../../server/links/tunnel-link.ts";
import { ServerMetrics } from "../../../../server/metrics.ts";
import { asDialId } from "../../../../shared/dial.ts";
import { ProxyError } from "../../../../shared/errors.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import {
  decodeLaneMessage,
  decodeLinkMessage,
  encodeLaneMessage,
  encodeLinkMessage,
  type LaneMessage,
  type LinkMessage,
} from "../../../../shared/tunnel/messages.ts";
import { FakeAgentLink } from "../../../support/fake-agent-link.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeTunnelServerCall } from "../../../support/fake-tunnel-call.ts";
import { LogLines } from "../../../support/log-lines.ts";
import { turn } from "../../../support/turn.ts";

const lane = { decode: decodeLaneMessage, encode: encodeLaneMessage };
const target = { protocol: "tcp", address: "10.0.0.1:80" };

async function linked() {
  const call = new FakeTunnelServerCall<LinkMessage>({ decode: decodeLinkMessage, encode: encodeLinkMessage });
  const clock = new FakeClock();
  const lines = new LogLines();
  const metrics = new ServerMetrics({ version: "test" });
  const link = new TunnelLink(
    { call, clock, log: lines.log, metrics },
    { agent: new FakeAgentLink("a").agent, agentConnectionsMax: 10 },
  );
  const ended = link.run();
  await turn();
  const dial = (id: bigint, options: { readonly signal?: AbortSignal; readonly address?: string } = {}) => {
    const { signal = new AbortController().signal, address = target.address } = options;
    const outcome: { connection?: LinkedConnection; error?: ProxyError } = {};
    const order = { id: asDialId(id), target: { ...target, address }, remainingMs: 8_000 };
    const done = link.dial(order, { signal }).then(
      (connection) => {
        outcome.connection = connection;
      },
      (error) => {
        outcome.error = error;
      },
    );
    return { outcome, done };
  };
  const openLane = async () => {
    const carry = new FakeTunnelServerCall<LaneMessage>(lane);
    link.carry(carry);
    await turn();
    return carry;
  };
  /** A lane with a connection on it. */
  const established = async (id: bigint) => {
    const carry = await openLane();
    const { outcome, done } = dial(id);
    carry.put({ type: "dialed", turn: 1, reached: "" });
    await done;
    carry.messages();
    if (outcome.connection === undefined) throw new Error("not established");
    return { carry, connection: outcome.connection };
  };
  return { call, clock, lines, link, ended, dial, openLane, established };
}

it("welcomes the agent with a token of its own", async () => {
  const tokens = [await linked(), await linked()].map(({ call }) => call.messages());
  expect(tokens[0]).toEqual([{ type: "welcome", token: expect.any(Buffer) }]);
  expect(tokens[0]).not.toEqual(tokens[1]);
});

describe("a dial", () => {
  it("goes to an idle lane at once, the one that was idle last", async () => {
    const { dial, link, openLane } = await linked();
    const [first, last] = [await openLane(), await openLane()];
    const { outcome, done } = dial(7n);
    expect(first.messages()).toEqual([]);
    expect(last.messages()).toEqual([{ type: "dial", turn: 1, dialId: 7n, remainingMs: 8_000, ...target }]);
    expect([link.pendingDials, link.openConnections]).toEqual([1, 0]);
    last.put({ type: "dialed", turn: 1, reached: "10.0.0.1:80" });
    await done;
    expect(outcome.connection).toMatchObject({ reached: "10.0.0.1:80", halfClose: true });
    expect([link.pendingDials, link.openConnections]).toEqual([0, 1]);
  });

  it("without an idle lane waits for one; one message asks for lanes for all that wait", async () => {
    const { call, dial, link, openLane } = await linked();
    call.messages();
    const dials = [1n, 2n, 3n].map((id) => dial(id));
    await turn();
    expect(call.messages()).toEqual([{ type: "lanesWanted", count: 3 }]);
    expect([link.pendingDials, link.openConnections]).toEqual([3, 0]);
    expect((await openLane()).messages()).toMatchObject([{ dialId: 1n }]);
    expect((await openLane()).messages()).toMatchObject([{ dialId: 2n }]);
    link.close(new ProxyError("shutdown", "over"));
    for (const { done, outcome } of dials) {
      await done;
      expect(outcome.error?.code).toBe("shutdown");
    }
    expect([link.pendingDials, link.openConnections]).toEqual([0, 0]);
  });

  it("that is given up resets its lane, which carries the next one once that is answered", async () => {
    const { dial, openLane } = await linked();
    const carry = await openLane();
    const cancel = new AbortController();
    const { outcome, done } = dial(7n, { signal: cancel.signal });
    cancel.abort(new ProxyError("dial_timeout", "timed out"));
    await done;
    expect(outcome.error?.code).toBe("dial_timeout");
    expect(carry.messages().at(-1)).toEqual({ type: "reset", turn: 1, code: "dial_timeout" });
    const next = dial(8n);
    expect(carry.messages()).toEqual([]);
    carry.put({ type: "dialed", turn: 1, reached: "" }, { type: "reset", turn: 1, code: "" });
    expect(carry.messages()).toMatchObject([{ type: "dial", turn: 2, dialId: 8n }]);
    carry.put({ type: "dialed", turn: 2, reached: "" });
    await next.done;
    expect(next.outcome.connection).toBeDefined();
  });

  it("that no message can carry fails alone, also where it waited for a lane", async () => {
    const { dial, openLane } = await linked();
    const long = dial(1n, { address: "a".repeat(1_025) });
    const next = dial(2n);
    const carry = await openLane();
    await long.done;
    expect(long.outcome.error?.code).toBe("protocol");
    expect(carry.messages()).toMatchObject([{ type: "dial", turn: 1, dialId: 2n }]);
    carry.put({ type: "refused", turn: 1, code: "dns", text: "no such host" });
    await next.done;
    expect(next.outcome.error).toMatchObject({ code: "dns", message: "no such host", reportedBy: "agent" });
  });

  it("is refused with a code of a later version as unreachable", async () => {
    const { dial, openLane } = await linked();
    const carry = await openLane();
    const { outcome, done } = dial(1n);
    carry.put({ type: "refused", turn: 1, code: "constructor", text: "whatever" });
    await done;
    expect(outcome.error?.code).toBe("unreachable");
  });
});

it("a refusal without a text gets one, for to clients of the reference's no error is a connection", async () => {
  const { dial, openLane } = await linked();
  for (const text of ["", "  \n"]) {
    const { outcome, done } = dial(7n);
    const carry = await openLane();
    carry.put({ type: "refused", turn: 1, code: "dns", text });
    await done;
    expect(outcome.error).toMatchObject({ code: "dns", message: "the agent refused the dial: dns" });
    carry.close({ code: GrpcCode.CANCELLED, message: "" });
  }
});

describe("a lane that its agent ends", () => {
  it("is given no dial any more, though its call has not closed yet", async () => {
    const { dial, link, openLane } = await linked();
    const [other, ending] = [await openLane(), await openLane()];
    ending.slowToClose = true;
    ending.receiveEnd();
    expect(link.openConnections).toBe(0);
    dial(7n);
    expect(ending.messages()).toEqual([]);
    expect(other.messages()).toMatchObject([{ type: "dial", dialId: 7n }]);
  });

  it("hands a dial that it cannot have begun to another lane", async () => {
    const { dial, openLane } = await linked();
    const [other, ending] = [await openLane(), await openLane()];
    const { outcome, done } = dial(7n);
    expect(ending.messages()).toHaveLength(1);
    ending.receiveEnd();
    expect(other.messages()).toMatchObject([{ type: "dial", dialId: 7n }]);
    other.put({ type: "dialed", turn: 1, reached: "" });
    await done;
    expect(outcome.connection).toBeDefined();
  });
});

describe("a lane that breaks the protocol", () => {
  it.each([
    ["data on an idle lane", [{ type: "data", data: Buffer.from("x") }]],
    ["a dial by the agent", [{ type: "dial", turn: 1, dialId: 1n, remainingMs: 1, ...target }]],
    ["an end of no turn", [{ type: "end", turn: 0 }]],
  ] satisfies [string, LaneMessage[]][])("by %s is ended, and is given no dial any more", async (_what, messages) => {
    const { dial, lines, link, openLane } = await linked();
    const [other, breaking] = [await openLane(), await openLane()];
    breaking.slowToClose = true;
    breaking.put(...messages);
    expect(lines.of("warn")).toHaveLength(1);
    dial(7n);
    expect(breaking.messages()).toEqual([]);
    expect(other.messages()).toHaveLength(1);
    expect(link.openConnections).toBe(0);
    breaking.close({ code: GrpcCode.CANCELLED, message: "" });
    expect([link.pendingDials, link.openConnections]).toEqual([1, 0]);
  });

  it("while it is dialed fails the dial so that another agent is asked, at once", async () => {
    const { dial, link, openLane } = await linked();
    const carry = await openLane();
    carry.slowToClose = true;
    const { outcome, done } = dial(7n);
    carry.put({ type: "end", turn: 1 });
    await done;
    expect(outcome.error?.code).toBe("agent_lost");
    expect([link.pendingDials, link.openConnections]).toEqual([0, 0]);
  });

  it("ends with FAILED_PRECONDITION, and only the first of a link is a warning", async () => {
    const { lines, openLane } = await linked();
    for (let count = 0; count < 3; count++) {
      const carry = await openLane();
      carry.receiveMessage(Buffer.from([0xff]));
      expect(carry.status?.code).toBe(GrpcCode.FAILED_PRECONDITION);
    }
    expect([lines.of("warn"), lines.of("debug")]).toMatchObject([{ length: 1 }, { length: 2 }]);
  });

  it("loses its connection, and its neighbours go on", async () => {
    const { established, link } = await linked();
    const [broken, neighbour] = [await established(1n), await established(2n)];
    const failed = finished(broken.connection.duplex.resume()).catch((error: ProxyError) => error.code);
    broken.carry.put({ type: "dialed", turn: 1, reached: "again" });
    expect(await failed).toBe("protocol");
    neighbour.carry.put({ type: "data", data: Buffer.from("fine") });
    expect(neighbour.connection.duplex.read()?.toString()).toBe("fine");
    expect(link.openConnections).toBe(1);
  });
});

it("R-3.1: a reset that is not answered within two seconds ends the lane", async () => {
  const { clock, established, link } = await linked();
  const { carry, connection } = await established(1n);
  connection.duplex.destroy(new ProxyError("idle", "silent"));
  await turn();
  expect(carry.messages()).toEqual([{ type: "reset", turn: 1, code: "idle" }]);
  clock.advance(1_999);
  expect(carry.status).toBeUndefined();
  clock.advance(1);
  expect(carry.status?.code).toBe(GrpcCode.CANCELLED);
  expect(link.openConnections).toBe(0);
});

describe("R-2.3: an agent that answers no dial", () => {
  it("is probed after two seconds, loses its dials after two more, and is asked last until it answers", async () => {
    const { call, clock, dial, link, openLane } = await linked();
    await openLane();
    const { outcome, done } = dial(7n);
    call.messages();
    clock.advance(2_000);
    expect(call.messages()).toEqual([{ type: "ping", number: 1 }]);
    clock.advance(2_000);
    await done;
    expect([link.state, outcome.error?.code]).toEqual(["unresponsive", "agent_lost"]);
    call.put({ type: "pong", number: 1 });
    expect(link.state).toBe("ready");
  });

  it("keeps its dials if it answers the probe", async () => {
    const { call, clock, dial, link, openLane } = await linked();
    await openLane();
    dial(7n);
    for (let count = 0; count < 3; count++) {
      clock.advance(2_000);
      call.put({ type: "pong", number: count });
    }
    expect([link.state, link.pendingDials]).toEqual(["ready", 1]);
  });
});

describe("an agent that sends GOAWAY", () => {
  it("loses the dials that wait for a lane, so that another is asked; its lanes go on, and are asked last", async () => {
    const { call, dial, established, link } = await linked();
    const { carry } = await established(1n);
    const waiting = dial(2n);
    call.goaway();
    const later = dial(3n);
    for (const { outcome, done } of [waiting, later]) {
      await done;
      expect(outcome.error?.code).toBe("agent_lost");
    }
    expect([link.state, link.pendingDials, link.openConnections]).toEqual(["draining", 0, 1]);
    carry.put({ type: "reset", turn: 1, code: "" });
    dial(4n);
    expect(carry.messages()).toMatchObject([{ type: "reset" }, { type: "dial", dialId: 4n }]);
  });
});

describe("the end of a link", () => {
  it.each([
    ["its agent half-closes it", (call: FakeTunnelServerCall<LinkMessage>) => call.receiveEnd(), GrpcCode.OK],
    [
      "bytes come that are no message",
      (call: FakeTunnelServerCall<LinkMessage>) => call.receiveMessage(Buffer.from([0xff])),
      GrpcCode.INVALID_ARGUMENT,
    ],
    [
      "its call is lost",
      (call: FakeTunnelServerCall<LinkMessage>) => call.close({ code: GrpcCode.UNAVAILABLE, message: "lost" }),
      GrpcCode.UNAVAILABLE,
    ],
    [
      "its agent reads nothing of it",
      (call: FakeTunnelServerCall<LinkMessage>) => {
        call.bufferedBytes = 64 * 1024 + 1;
      },
      GrpcCode.INVALID_ARGUMENT,
    ],
  ])("when %s takes lanes, connections and dials with it, and leaves no timer", async (_how, end, status) => {
    const { call, clock, dial, ended, established, link, openLane } = await linked();
    const { connection } = await established(1n);
    const failed = finished(connection.duplex).catch((error: ProxyError) => error.code);
    const idle = await openLane();
    const [sent, waiting] = [dial(2n), dial(3n)];
    end(call);
    await Promise.all([sent.done, waiting.done]);
    expect([sent.outcome.error?.code, waiting.outcome.error?.code, await failed]).toEqual(Array(3).fill("agent_lost"));
    expect((await ended).code).toBe(status);
    expect(idle.status).toBeDefined();
    expect([link.state, link.pendingDials, link.openConnections]).toEqual(["closed", 0, 0]);
    clock.advance(10_000);
    expect(clock.pending).toBe(0);
  });

  it("refuses lanes and dials that come after it", async () => {
    const { dial, link, openLane } = await linked();
    link.close(new ProxyError("shutdown", "over"));
    expect((await openLane()).status?.code).toBe(GrpcCode.UNAVAILABLE);
    const { done, outcome } = dial(1n);
    await done;
    expect(outcome.error?.code).toBe("agent_lost");
  });
});

it("R-6.1: Draining marks it for good, and Pongs without a Ping change nothing", async () => {
  const { call, link } = await linked();
  call.put({ type: "pong", number: 9 }, { type: "draining" }, { type: "draining" }, { type: "pong", number: 9 });
  expect(link.state).toBe("draining");
});

import { describe, expect, it } from "vitest";
import { KonnectivityLink } from "../../../../server/links/konnectivity-link.ts";
import type { LinkedConnection } from "../../../../server/links/link.ts";
import { ServerMetrics } from "../../../../server/metrics.ts";
import { asDialId } from "../../../../shared/dial.ts";
import { ProxyError } from "../../../../shared/errors.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import { addressMaxBytes } from "../../../../shared/konnectivity/packet.ts";
import { silentLog } from "../../../../shared/log.ts";
import { expose } from "../../../../shared/metrics/registry.ts";
import { FakeAgentLink } from "../../../support/fake-agent-link.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeServerCall } from "../../../support/fake-grpc-stream.ts";
import { receive } from "../../../support/memory-duplex.ts";
import { MetricsPage } from "../../../support/metrics-page.ts";
import { turn } from "../../../support/turn.ts";

const target = { protocol: "tcp", address: "10.0.0.1:80" };

async function linked(userAgent?: string) {
  const call = new FakeServerCall();
  const clock = new FakeClock();
  const metrics = new ServerMetrics({ version: "test" });
  const link = new KonnectivityLink(
    { call, clock, log: silentLog, metrics },
    { agent: { ...new FakeAgentLink("a").agent, userAgent }, agentConnectionsMax: 10_000 },
  );
  const ended = link.run();
  await turn();
  const dial = (id: bigint, signal: AbortSignal = new AbortController().signal) => {
    const outcome: { connection?: LinkedConnection; error?: ProxyError } = {};
    const done = link.dial({ id: asDialId(id), target, remainingMs: 8_000 }, { signal }).then(
      (connection) => {
        outcome.connection = connection;
      },
      (error) => {
        outcome.error = error;
      },
    );
    return { outcome, done };
  };
  const established = async (id: bigint, connectId: bigint) => {
    const { outcome, done } = dial(id);
    call.receive({ type: "DIAL_RSP", random: id, connectId, error: "" });
    await done;
    call.taken();
    const { connection } = outcome;
    if (connection === undefined) throw new Error("not established");
    return connection.duplex;
  };
  const failures = async (reason: string) =>
    new MetricsPage(await expose(metrics.registry)).sum("konnectivity_network_proxy_server_dial_failure_count", {
      reason,
    }) ?? 0;
  return { call, clock, link, ended, dial, established, failures };
}

describe("DIAL_RSP", () => {
  it("brings the connection, and its bytes", async () => {
    const { call, link, dial } = await linked();
    const { outcome, done } = dial(7n);
    expect(call.taken()).toEqual([{ type: "DIAL_REQ", ...target, random: 7n }]);
    expect(link.pendingDials).toBe(1);
    call.receive(
      { type: "DIAL_RSP", random: 7n, connectId: 1n, error: "" },
      { type: "DATA", connectId: 1n, data: Buffer.from("banner") },
    );
    await done;
    expect([link.pendingDials, link.openConnections]).toEqual([0, 1]);
    expect(outcome.connection?.halfClose).toBe(false);
    const got = receive(outcome.connection?.duplex as NonNullable<typeof outcome.connection>["duplex"]);
    await turn();
    expect(got.bytes.toString()).toBe("banner");
  });

  it("with an error fails the dial with the agent's text, cleaned, and leaves nothing", async () => {
    const { call, link, dial, failures } = await linked();
    const { outcome, done } = dial(7n);
    const error = "dial tcp 10.0.0.1:80: connect: connection refused\n";
    call.receive({ type: "DIAL_RSP", random: 7n, connectId: 9n, error });
    await done;
    expect(outcome.error).toMatchObject({ code: "refused", reportedBy: "agent", message: error.replace("\n", " ") });
    expect([link.pendingDials, link.openConnections]).toEqual([0, 0]);
    expect(await failures("error_response")).toBe(1);
  });

  it("for a dial that does not wait is answered by CLOSE_REQ if it brings a connection, else by nothing", async () => {
    const { call, failures } = await linked();
    call.receive({ type: "DIAL_RSP", random: 1n, connectId: 5n, error: "" });
    call.receive({ type: "DIAL_RSP", random: 2n, connectId: 0n, error: "" });
    call.receive({ type: "DIAL_RSP", random: 3n, connectId: 6n, error: "too late" });
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId: 5n }]);
    expect(await failures("unrecognized_response")).toBe(3);
  });

  it("a second time does not close the connection that the first brought, nor a neighbour's", async () => {
    const { call, established } = await linked();
    const duplex = await established(7n, 1n);
    call.receive({ type: "DIAL_RSP", random: 7n, connectId: 1n, error: "" });
    expect(call.taken()).toEqual([]);
    call.receive({ type: "DIAL_RSP", random: 7n, connectId: 2n, error: "" });
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId: 2n }]);
    expect(duplex.destroyed).toBe(false);
  });

  it.each([0n, 1n])("with the unusable connection id %s fails the dial and hurts nobody", async (connectId) => {
    const { call, dial, established, link } = await linked();
    const neighbour = await established(1n, 1n);
    const { outcome, done } = dial(7n);
    call.taken();
    call.receive({ type: "DIAL_RSP", random: 7n, connectId, error: "" });
    await done;
    expect(outcome.error?.code).toBe("protocol");
    expect(call.taken()).toEqual([]);
    expect(neighbour.destroyed).toBe(false);
    expect(link.openConnections).toBe(1);
  });
});

describe("a dial", () => {
  it("that is given up sends DIAL_CLS, and its late answer is closed", async () => {
    const { call, dial, link } = await linked();
    const cancel = new AbortController();
    const { outcome, done } = dial(7n, cancel.signal);
    call.taken();
    const reason = new ProxyError("dial_timeout", "timed out");
    cancel.abort(reason);
    await done;
    expect(outcome.error).toBe(reason);
    expect(link.pendingDials).toBe(0);
    expect(call.taken()).toEqual([{ type: "DIAL_CLS", random: 7n }]);
    call.receive({ type: "DIAL_RSP", random: 7n, connectId: 1n, error: "" });
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId: 1n }]);
  });

  it("that was answered is not touched by an abort that comes later", async () => {
    const { call, dial, link } = await linked();
    const cancel = new AbortController();
    const { outcome, done } = dial(7n, cancel.signal);
    call.taken();
    call.receive({ type: "DIAL_RSP", random: 7n, connectId: 1n, error: "" });
    cancel.abort(new ProxyError("cancelled", "too late"));
    await done;
    expect(outcome.connection?.duplex.destroyed).toBe(false);
    expect(call.taken()).toEqual([]);
    expect(link.openConnections).toBe(1);
  });

  it("that was given up before it began sends nothing", async () => {
    const { call, dial } = await linked();
    const reason = new ProxyError("cancelled", "gone");
    const { outcome, done } = dial(7n, AbortSignal.abort(reason));
    await done;
    expect(outcome.error).toBe(reason);
    expect(call.taken()).toEqual([]);
  });

  it("with the id of one that waits is refused, and the first goes on", async () => {
    const { call, dial } = await linked();
    const first = dial(7n);
    const second = dial(7n);
    await second.done;
    expect(second.outcome.error?.code).toBe("protocol");
    expect(call.taken()).toHaveLength(1);
    call.receive({ type: "DIAL_RSP", random: 7n, connectId: 1n, error: "" });
    await first.done;
    expect(first.outcome.connection).toBeDefined();
  });

  it("to an address that no packet can carry is refused as bad, not as a defect of ours", async () => {
    const { call, link } = await linked();
    const long = { protocol: "tcp", address: "a".repeat(addressMaxBytes + 1) };
    const dial = link.dial(
      { id: asDialId(7n), target: long, remainingMs: 8_000 },
      { signal: new AbortController().signal },
    );
    await expect(dial).rejects.toMatchObject({ name: "ProxyError", code: "protocol" });
    expect(link.pendingDials).toBe(0);
    expect(call.taken()).toEqual([]);
  });

  it("fails when the agent gives it up by DIAL_CLS; one for another dial changes nothing", async () => {
    const { call, dial, failures } = await linked();
    const { outcome, done } = dial(7n);
    call.receive({ type: "DIAL_CLS", random: 8n }, { type: "DIAL_CLS", random: 7n });
    await done;
    expect(outcome.error?.code).toBe("cancelled");
    expect(await failures("backend_close")).toBe(1);
  });
});

describe("DATA and CLOSE_RSP", () => {
  it("of connection 0 is dropped, of an unknown one answered by CLOSE_REQ", async () => {
    const { call } = await linked();
    call.receive({ type: "DATA", connectId: 0n, data: Buffer.from("x") });
    expect(call.taken()).toEqual([]);
    call.receive({ type: "DATA", connectId: 5n, data: Buffer.from("x") });
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId: 5n }]);
  });

  it("CLOSE_RSP ends the connection after its last bytes and is not answered; an unknown one is ignored", async () => {
    const { call, established, link } = await linked();
    const duplex = await established(7n, 1n);
    call.receive(
      { type: "DATA", connectId: 1n, data: Buffer.from("last words") },
      { type: "CLOSE_RSP", connectId: 1n, error: "" },
      { type: "CLOSE_RSP", connectId: 1n, error: "" },
      { type: "CLOSE_RSP", connectId: 99n, error: "Unknown connectID" },
    );
    expect(link.openConnections).toBe(0);
    const got = receive(duplex);
    await turn();
    expect(got.bytes.toString()).toBe("last words");
    expect(got.ended).toBe(true);
    duplex.end();
    await turn();
    expect(duplex.destroyed).toBe(true);
    expect(call.taken()).toEqual([]);
  });

  it("closes by one CLOSE_REQ, and lets DATA that crosses it pass unanswered until CLOSE_RSP", async () => {
    const { call, established, link } = await linked();
    const duplex = await established(7n, 1n);
    duplex.end("bye");
    await turn();
    duplex.destroy();
    await turn();
    expect(call.taken()).toEqual([
      { type: "DATA", connectId: 1n, data: Buffer.from("bye") },
      { type: "CLOSE_REQ", connectId: 1n },
    ]);
    call.receive({ type: "DATA", connectId: 1n, data: Buffer.from("crossing") });
    expect(call.taken()).toEqual([]);
    expect(link.openConnections).toBe(1);
    call.receive({ type: "CLOSE_RSP", connectId: 1n, error: "" });
    expect(link.openConnections).toBe(0);
    call.receive({ type: "DATA", connectId: 1n, data: Buffer.from("after it") });
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId: 1n }]);
  });

  it("resets a reader that has stopped, alone, and goes on with the others", async () => {
    const { call, clock, established } = await linked();
    const dead = await established(1n, 1n);
    const alive = await established(2n, 2n);
    const got = receive(alive);
    while (!call.paused) call.receive({ type: "DATA", connectId: 1n, data: Buffer.alloc(64 * 1024) });
    call.receive({ type: "DATA", connectId: 2n, data: Buffer.from("waiting") });
    clock.advance(2_250);
    await turn();
    expect(dead.errored).toMatchObject({ code: "stalled" });
    expect(got.bytes.toString()).toBe("waiting");
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId: 1n }]);
  });
});

it("DRAIN marks it, once and for good, and is not answered", async () => {
  const { call, link, dial } = await linked();
  expect(link.state).toBe("ready");
  call.receive({ type: "DRAIN" }, { type: "DRAIN" });
  expect(link.state).toBe("draining");
  expect(call.taken()).toEqual([]);
  dial(7n);
  expect(call.taken()).toHaveLength(1);
});

it.each([
  ["hawser-agent/0.1.0", 1],
  ["grpc-go/1.80.0", 0],
  [undefined, 0],
])("R-6.2: a drain is told by GOAWAY to agents that live on after one: %s", async (userAgent, goawayCount) => {
  const { call, link } = await linked(userAgent);
  link.drain();
  expect([call.goawayCount, call.taken(), link.state]).toEqual([goawayCount, [], "ready"]);
});

it("ignores what agents do not send, and types it does not know", async () => {
  const { call, link, dial } = await linked();
  dial(7n);
  call.taken();
  call.receive({ type: "DIAL_REQ", ...target, random: 7n }, { type: "CLOSE_REQ", connectId: 1n });
  call.receiveMessage(Buffer.from([0x08, 0x2a]));
  expect(call.taken()).toEqual([]);
  expect([link.state, link.pendingDials]).toEqual(["ready", 1]);
});

describe("the link's end", () => {
  it.each([
    ["the stream is lost", GrpcCode.UNAVAILABLE, "agent_lost"],
    ["the agent half-closes", GrpcCode.OK, "agent_lost"],
    ["the agent sends a broken packet", GrpcCode.INVALID_ARGUMENT, "agent_lost"],
    ["the agent reads nothing", GrpcCode.RESOURCE_EXHAUSTED, "agent_lost"],
    ["this side closes it", GrpcCode.OK, "shutdown"],
  ] as const)("fails dials and connections at once, and new dials: %s", async (how, status, code) => {
    const { call, link, ended, dial, established } = await linked();
    const duplex = await established(1n, 1n);
    const waiting = dial(7n);
    if (how === "the stream is lost") call.close({ code: status, message: "gone" });
    if (how === "the agent half-closes") call.receiveEnd();
    if (how === "the agent sends a broken packet") call.receiveMessage(Buffer.alloc(0));
    if (how === "this side closes it") link.close(new ProxyError("shutdown", "bye"));
    if (how === "the agent reads nothing") {
      call.bufferedBytes = 9 * 1024 * 1024;
      call.receive({ type: "DATA", connectId: 404n, data: Buffer.from("x") });
    }
    expect((await ended).code).toBe(status);
    await waiting.done;
    expect(waiting.outcome.error?.code).toBe(code);
    expect(duplex.errored).toMatchObject({ code });
    expect([link.state, link.pendingDials, link.openConnections]).toEqual(["closed", 0, 0]);
    const late = dial(8n);
    await late.done;
    expect(late.outcome.error?.code).toBe("agent_lost");
    link.close(new ProxyError("shutdown", "twice"));
  });

  it("leaves to the reader what the agent had sent before it closed the connection", async () => {
    const { call, established } = await linked();
    const duplex = await established(1n, 1n);
    call.receive(
      { type: "DATA", connectId: 1n, data: Buffer.from("complete") },
      { type: "CLOSE_RSP", connectId: 1n, error: "" },
    );
    call.close({ code: GrpcCode.UNAVAILABLE, message: "" });
    const got = receive(duplex);
    await turn();
    expect(got.bytes.toString()).toBe("complete");
    expect(got.ended).toBe(true);
  });

  it("refuses a dial whose own packet shows that the agent does not read", async () => {
    const { call, dial, ended } = await linked();
    call.bufferedBytes = 9 * 1024 * 1024;
    const { outcome, done } = dial(7n);
    await done;
    expect(outcome.error?.code).toBe("agent_lost");
    expect((await ended).code).toBe(GrpcCode.RESOURCE_EXHAUSTED);
  });
});

import { describe, expect, it } from "vitest";
import { Dialer, type FrontendIdentity } from "../../../server/dialer.ts";
import { Registry } from "../../../server/links/registry.ts";
import { ServerMetrics } from "../../../server/metrics.ts";
import { type ErrorCode, ProxyError } from "../../../shared/errors.ts";
import { silentLog } from "../../../shared/log.ts";
import { expose } from "../../../shared/metrics/registry.ts";
import { ByteBudget } from "../../../shared/stream/byte-budget.ts";
import { FakeAgentLink, type FakeDial } from "../../support/fake-agent-link.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FakeDialRequest } from "../../support/fake-dial-request.ts";
import { memoryPair, receive } from "../../support/memory-duplex.ts";
import { MetricsPage } from "../../support/metrics-page.ts";
import { turn } from "../../support/turn.ts";

const dialTimeoutMs = 8_000;
const byGrpc: FrontendIdentity = { protocol: "grpc", peer: "192.0.2.1:4711", subject: "apiserver" };
const prefix = "konnectivity_network_proxy_server_";

function dialed(...agentIds: readonly string[]) {
  const clock = new FakeClock();
  const metrics = new ServerMetrics({ version: "test" });
  const registry = new Registry({ random: () => 0, observer: { changed() {} } }, { strategies: ["default"] });
  const links = agentIds.map((id) => new FakeAgentLink(id));
  for (const link of links) registry.add(link);
  const budget = new ByteBudget({ clock, log: silentLog }, { maxBytes: 1, onReset() {} });
  const dialer = new Dialer(
    { registry, clock, log: silentLog, metrics, budget },
    {
      dialTimeoutMs,
      halfCloseTimeoutMs: 60_000,
      limits: { frontendConnectionsMax: 3, pendingDialsMax: 2, connectionIdleMs: 0, connectionLifetimeMs: 0 },
    },
  );
  const request = new FakeDialRequest();
  const page = async () => new MetricsPage(await expose(metrics.registry));
  return {
    clock,
    dialer,
    links,
    request,
    /** The dial that the agent at `index` was asked last. */
    asked: (index = 0): FakeDial => {
      const asked = links[index]?.dials.at(-1);
      if (asked === undefined) throw new Error(`agent ${index} was not asked`);
      return asked;
    },
    reference: async (reason: string) => (await page()).sum(`${prefix}dial_failure_count`, { reason }) ?? 0,
    ours: async (code: ErrorCode) => (await page()).sum("hawser_server_dials_failed_total", { code }) ?? 0,
    retries: async () => (await page()).sum("hawser_server_dial_retries_total"),
    refused: async (limit: string) => (await page()).sum("hawser_server_refused_total", { limit }) ?? 0,
    gauge: async (name: string) => (await page()).sum(`${prefix}${name}`),
  };
}

/** The agent's end of a connection, and what is behind it. */
function agentEnd() {
  const [endpoint, duplex] = memoryPair();
  return { endpoint, connection: { duplex, halfClose: true } };
}

describe("a dial that succeeds", () => {
  it("is accepted, and joins both ends until both have closed", async () => {
    const { dialer, request, asked, gauge, clock } = dialed("a");
    dialer.dial(request, byGrpc);
    expect(await gauge("pending_backend_dials")).toBe(1);
    expect(asked().target).toEqual(request.target);
    const { endpoint, connection } = agentEnd();
    asked().resolve(connection);
    await turn();
    expect(request.answers).toEqual(["accepted"]);
    expect([await gauge("pending_backend_dials"), await gauge("established_connections")]).toEqual([0, 1]);
    const atClient = receive(request.client);
    const atEndpoint = receive(endpoint);
    request.client.end("hello");
    await turn();
    endpoint.end("bye");
    await dialer.idle();
    expect([atEndpoint.bytes.toString(), atClient.bytes.toString()]).toEqual(["hello", "bye"]);
    expect(await gauge("established_connections")).toBe(0);
    expect(await gauge("connection_duration_seconds_count")).toBe(1);
    expect(await gauge("dial_duration_seconds_count")).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it("holds a talkative endpoint's first bytes back for 100 ms", async () => {
    const { dialer, request, asked, clock } = dialed("a");
    dialer.dial(request, byGrpc);
    const { endpoint, connection } = agentEnd();
    endpoint.write("banner");
    asked().resolve(connection);
    const atClient = receive(request.client);
    await turn();
    expect(atClient.bytes.length).toBe(0);
    clock.advance(99);
    await turn();
    expect(atClient.bytes.length).toBe(0);
    clock.advance(1);
    await turn();
    expect(atClient.bytes.toString()).toBe("banner");
  });

  it("is no connection if the frontend has gone before it hears of it", async () => {
    const { dialer, request, asked, reference, ours, gauge } = dialed("a");
    request.whenAccepted = Promise.reject(new ProxyError("cancelled", "the client has gone"));
    dialer.dial(request, byGrpc);
    const { connection } = agentEnd();
    asked().resolve(connection);
    await dialer.idle();
    expect(connection.duplex.errored).toMatchObject({ code: "cancelled" });
    expect(await reference("send_rsp")).toBe(1);
    expect(await ours("cancelled")).toBe(1);
    expect(await gauge("established_connections")).toBe(0);
  });
});

describe("a dial that fails", () => {
  it("without an agent says so, and the reference counts that for gRPC alone", async () => {
    const { dialer, request, reference, ours } = dialed();
    dialer.dial(request, byGrpc);
    dialer.dial(new FakeDialRequest(), { ...byGrpc, protocol: "http-connect" });
    await dialer.idle();
    expect(request.answers).toMatchObject([{ code: "no_agent", message: "No agent available" }]);
    expect(await reference("no_agent")).toBe(1);
    expect(await ours("no_agent")).toBe(2);
  });

  it("passes the agent's error on, and asks no other agent", async () => {
    const { dialer, request, asked, links } = dialed("a", "b");
    dialer.dial(request, byGrpc);
    const refused = new ProxyError("refused", "connection refused", { reportedBy: "agent" });
    asked().reject(refused);
    await dialer.idle();
    expect(request.answers).toEqual([refused]);
    expect(links[1]?.dials).toEqual([]);
  });

  it("hides a defect's text from the frontend", async () => {
    const { dialer, request, asked } = dialed("a");
    dialer.dial(request, byGrpc);
    asked().reject(new TypeError("x is undefined"));
    await dialer.idle();
    expect(request.answers).toMatchObject([{ code: "internal", message: "internal error" }]);
  });

  it("is over when the deadline has passed, whatever the agent does", async () => {
    const { dialer, request, asked, clock, reference, ours, gauge } = dialed("a");
    dialer.dial(request, byGrpc);
    clock.advance(dialTimeoutMs - 1);
    await turn();
    expect(request.answers).toEqual([]);
    clock.advance(1);
    await dialer.idle();
    expect(request.answers).toMatchObject([{ code: "dial_timeout", message: "timed out waiting for backend dial" }]);
    expect(asked().signal.aborted).toBe(true);
    expect(await reference("backend_dial_timeout")).toBe(1);
    expect(await ours("dial_timeout")).toBe(1);
    expect(await gauge("pending_backend_dials")).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("by the agent's own timeout is not counted as the server's", async () => {
    const { dialer, request, asked, reference } = dialed("a");
    dialer.dial(request, byGrpc);
    asked().reject(new ProxyError("dial_timeout", "i/o timeout", { reportedBy: "agent" }));
    await dialer.idle();
    expect(await reference("backend_dial_timeout")).toBe(0);
  });
});

describe("an agent that is lost while it dials", () => {
  const lost = () => new ProxyError("agent_lost", "lost");

  it("is followed by one other, within the same deadline", async () => {
    const { dialer, request, asked, clock, retries } = dialed("a", "b", "c");
    dialer.dial(request, byGrpc);
    expect(await retries()).toBe(0);
    clock.advance(5_000);
    asked(0).reject(lost());
    await turn();
    const { connection } = agentEnd();
    expect(asked(1).id).toBe(request.id);
    expect(await retries()).toBe(1);
    clock.advance(dialTimeoutMs - 5_001);
    asked(1).resolve(connection);
    await turn();
    expect(request.answers).toEqual(["accepted"]);
  });

  it("is followed by one other and no more", async () => {
    const { dialer, request, asked, links } = dialed("a", "b", "c");
    dialer.dial(request, byGrpc);
    asked(0).reject(lost());
    await turn();
    asked(1).reject(lost());
    await dialer.idle();
    expect(request.answers).toMatchObject([{ code: "agent_lost" }]);
    expect(links[2]?.dials).toEqual([]);
  });

  it("is followed by none if there is no other: the dial failed for the loss, not for want of agents", async () => {
    const { dialer, request, asked, ours, retries } = dialed("a");
    dialer.dial(request, byGrpc);
    asked().reject(lost());
    await dialer.idle();
    expect(request.answers).toMatchObject([{ code: "agent_lost" }]);
    expect(await retries()).toBe(0);
    expect([await ours("agent_lost"), await ours("no_agent")]).toEqual([1, 0]);
  });

  it("is followed by none once the frontend has cancelled", async () => {
    const { dialer, request, asked, links } = dialed("a", "b");
    dialer.dial(request, byGrpc);
    asked().reject(lost());
    request.cancel(new ProxyError("cancelled", "the client has gone"));
    await dialer.idle();
    expect(links[1]?.dials).toEqual([]);
  });
});

it("an agent that has all the connections that it may have is followed by one other", async () => {
  const { dialer, request, asked } = dialed("a", "b");
  dialer.dial(request, byGrpc);
  asked(0).reject(new ProxyError("over_limit", "the agent has 1 connections already"));
  await turn();
  expect(asked(1).id).toBe(request.id);
});

describe("R-3.5: limits", () => {
  it("refuse a dial past those that wait for an answer, and take the next once one is answered", async () => {
    const { dialer, asked, links, refused } = dialed("a");
    const requests = Array.from({ length: 4 }, () => new FakeDialRequest());
    for (const request of requests.slice(0, 3)) void dialer.dial(request, byGrpc);
    await turn();
    expect(requests[2]?.answers).toMatchObject([
      { code: "over_limit", message: "this server has 2 dials without an answer already" },
    ]);
    expect([links[0]?.dials.length, await refused("pending_dials")]).toEqual([2, 1]);
    asked().reject(new ProxyError("refused", "connection refused"));
    await turn();
    void dialer.dial(requests[3] as FakeDialRequest, byGrpc);
    expect([links[0]?.dials.length, await refused("pending_dials")]).toEqual([3, 1]);
  });

  it("refuse a dial past the connections that there may be, and take the next once one has ended", async () => {
    const { dialer, asked, refused } = dialed("a");
    const connect = async () => {
      const request = new FakeDialRequest();
      const done = dialer.dial(request, byGrpc);
      const { connection } = agentEnd();
      asked().resolve(connection);
      await turn();
      return { request, connection, done };
    };
    const [first] = [await connect(), await connect(), await connect()];
    const late = new FakeDialRequest();
    await dialer.dial(late, byGrpc);
    expect(late.answers).toMatchObject([{ code: "over_limit", message: "this server has 3 connections already" }]);
    expect(await refused("frontend_connections")).toBe(1);
    first.connection.duplex.destroy();
    await first.done;
    expect((await connect()).request.answers).toEqual(["accepted"]);
    expect(await refused("frontend_connections")).toBe(1);
  });
});

describe("a frontend that cancels", () => {
  const gone = new ProxyError("cancelled", "the client has gone");

  it("before it is asked for reaches no agent's socket", async () => {
    const { dialer, request, reference, clock } = dialed("a");
    request.cancel(gone);
    dialer.dial(request, byGrpc);
    await dialer.idle();
    expect(request.answers).toEqual([]);
    expect(await reference("frontend_close")).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it("while the agent dials ends the agent's dial", async () => {
    const { dialer, request, asked, reference, ours } = dialed("a");
    dialer.dial(request, byGrpc);
    request.cancel(gone);
    await dialer.idle();
    expect(asked().signal.reason).toBe(gone);
    expect(request.answers).toEqual([]);
    expect([await reference("frontend_close"), await ours("cancelled")]).toEqual([1, 1]);
  });

  it("in the turn of the agent's answer gets the connection closed", async () => {
    const { dialer, request, asked, gauge } = dialed("a");
    dialer.dial(request, byGrpc);
    const { connection } = agentEnd();
    asked().resolve(connection);
    request.cancel(gone);
    await dialer.idle();
    expect(connection.duplex.destroyed).toBe(true);
    expect(request.answers).toEqual([]);
    expect(await gauge("established_connections")).toBe(0);
  });
});

describe("shutdown", () => {
  const shutdown = new ProxyError("shutdown", "the proxy server is shutting down");

  it("refuses new dials while connections go on", async () => {
    const { dialer, request, asked } = dialed("a");
    dialer.dial(request, byGrpc);
    const { endpoint, connection } = agentEnd();
    asked().resolve(connection);
    await turn();
    dialer.drain();
    const late = new FakeDialRequest();
    dialer.dial(late, byGrpc);
    await turn();
    expect(late.answers).toMatchObject([{ code: "shutdown" }]);
    const atEndpoint = receive(endpoint);
    request.client.write("still there");
    await turn();
    expect(atEndpoint.bytes.toString()).toBe("still there");
  });

  it("at once ends dials and connections", async () => {
    const { dialer, request, asked, clock } = dialed("a");
    dialer.dial(request, byGrpc);
    const { endpoint, connection } = agentEnd();
    asked().resolve(connection);
    await turn();
    const dialing = new FakeDialRequest();
    dialer.dial(dialing, byGrpc);
    dialer.abort(shutdown);
    await dialer.idle();
    expect(dialing.answers).toEqual([shutdown]);
    expect(request.client.failure?.code).toBe("ECONNRESET");
    expect(endpoint.failure?.code).toBe("ECONNRESET");
    expect(clock.pending).toBe(0);
  });

  it("at once also ends a connection whose frontend is just being told", async () => {
    const { dialer, request, asked } = dialed("a");
    let told = () => {};
    request.whenAccepted = new Promise((resolve) => {
      told = resolve;
    });
    dialer.dial(request, byGrpc);
    const { endpoint, connection } = agentEnd();
    asked().resolve(connection);
    await turn();
    dialer.abort(shutdown);
    told();
    await dialer.idle();
    expect(request.client.failure?.code).toBe("ECONNRESET");
    expect(endpoint.failure?.code).toBe("ECONNRESET");
  });
});

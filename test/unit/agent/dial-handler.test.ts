import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { DialHandler } from "../../../agent/dial-handler.ts";
import type { EndpointConnection, EndpointDialer } from "../../../agent/endpoints/endpoint-dialer.ts";
import { AgentMetrics } from "../../../agent/metrics.ts";
import { ProxyError } from "../../../shared/errors.ts";
import { silentLog } from "../../../shared/log.ts";
import { expose } from "../../../shared/metrics/registry.ts";
import { ByteBudget } from "../../../shared/stream/byte-budget.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FakeDialRequest } from "../../support/fake-dial-request.ts";
import { memoryPair, receive } from "../../support/memory-duplex.ts";
import { MetricsPage } from "../../support/metrics-page.ts";
import { turn } from "../../support/turn.ts";

const prefix = "konnectivity_network_proxy_agent_";

function handling() {
  const clock = new FakeClock();
  const metrics = new AgentMetrics({ version: "test" });
  const asked: { resolve(connection: EndpointConnection): void; reject(error: unknown): void }[] = [];
  const endpoints: Pick<EndpointDialer, "dial"> = {
    dial: (_target, { signal }) =>
      new Promise((resolve, reject) => {
        asked.push({ resolve, reject });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  };
  const budget = new ByteBudget({ clock, log: silentLog }, { maxBytes: 1, onReset() {} });
  const handler = new DialHandler(
    { endpoints: endpoints as EndpointDialer, clock, log: silentLog, metrics, budget },
    { halfCloseTimeoutMs: 60_000 },
  );
  const request = new FakeDialRequest();
  handler.handle(request, { id: "s" });
  return {
    clock,
    handler,
    request,
    endpoint: asked[0] as (typeof asked)[number],
    sum: async (name: string, labels?: Record<string, string>) =>
      new MetricsPage(await expose(metrics.registry)).sum(name, labels),
  };
}

/** An endpoint that was reached, and its own end of the connection. */
function reachedEndpoint() {
  const [endpoint, duplex] = memoryPair();
  return { endpoint, connection: { socket: duplex as unknown as Socket, reached: "10.0.0.1:80" } };
}

it("joins the endpoint and the server until both have closed", async () => {
  const { handler, request, endpoint, sum, clock } = handling();
  const reached = reachedEndpoint();
  expect([handler.busyCount, handler.idleMs]).toEqual([1, 0]);
  endpoint.resolve(reached.connection);
  await turn();
  expect(request.answers).toEqual(["accepted"]);
  expect(await sum(`${prefix}open_endpoint_connections`)).toBe(1);
  const atServer = receive(request.client);
  const atEndpoint = receive(reached.endpoint);
  request.client.end("request");
  reached.endpoint.end("answer");
  await turn();
  expect([atEndpoint.bytes.toString(), atServer.bytes.toString()]).toEqual(["request", "answer"]);
  expect([handler.busyCount, await sum(`${prefix}open_endpoint_connections`)]).toEqual([0, 0]);
  expect(await sum(`${prefix}dial_duration_seconds_count`)).toBe(1);
  clock.advance(3_000);
  expect(handler.idleMs).toBe(3_000);
  expect(clock.pending).toBe(0);
});

describe("an endpoint that cannot be reached", () => {
  it("is told to the server, in the error's words", async () => {
    const { handler, request, endpoint, sum } = handling();
    const refused = new ProxyError("refused", "dial tcp 10.0.0.1:80: connect: connection refused");
    endpoint.reject(refused);
    await turn();
    expect(request.answers).toEqual([refused]);
    expect(handler.busyCount).toBe(0);
    expect(await sum(`${prefix}endpoint_dial_failure_total`)).toBe(1);
  });

  it("for a reason that is a defect is told without its text", async () => {
    const { request, endpoint } = handling();
    endpoint.reject(new TypeError("x is undefined"));
    await turn();
    expect(request.answers).toMatchObject([{ code: "internal", message: "internal error" }]);
  });

  it("is no failure if nobody waits for it any more", async () => {
    const { handler, request, sum } = handling();
    request.cancel(new ProxyError("cancelled", "the client cancelled the dial"));
    await turn();
    expect(request.answers).toEqual([]);
    expect(handler.busyCount).toBe(0);
    expect(await sum(`${prefix}endpoint_dial_failure_total`)).toBeUndefined();
  });
});

it("closes the endpoint's socket if the server does not want the connection any more", async () => {
  const { handler, request, endpoint, sum } = handling();
  request.whenAccepted = Promise.reject(new ProxyError("cancelled", "the dial is not waited for any more"));
  const reached = reachedEndpoint();
  endpoint.resolve(reached.connection);
  await turn();
  expect(reached.connection.socket.destroyed).toBe(true);
  expect(handler.busyCount).toBe(0);
  expect(await sum(`${prefix}open_endpoint_connections`)).toBe(0);
});

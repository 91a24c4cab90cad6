import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { HttpConnectFrontend } from "../../../../server/frontends/http-connect.ts";
import { ServerMetrics } from "../../../../server/metrics.ts";
import type { DialRequest } from "../../../../shared/dial.ts";
import { ProxyError } from "../../../../shared/errors.ts";
import { silentLog } from "../../../../shared/log.ts";
import { expose } from "../../../../shared/metrics/registry.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { memoryPair, receive } from "../../../support/memory-duplex.ts";
import { MetricsPage } from "../../../support/metrics-page.ts";
import { turn } from "../../../support/turn.ts";

const head = "CONNECT node-1:10250 HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: test\r\n\r\n";
const plain = "Content-Type: text/plain; charset=utf-8";

function connected() {
  const clock = new FakeClock();
  const metrics = new ServerMetrics({ version: "test" });
  const dials: DialRequest[] = [];
  const frontend = new HttpConnectFrontend({ clock, log: silentLog, metrics, dial: (dial) => dials.push(dial) });
  const [client, socket] = memoryPair({ highWaterMark: 64 * 1024 });
  frontend.accept(socket as unknown as Socket);
  return {
    clock,
    frontend,
    client,
    socket,
    dials,
    atClient: receive(client),
    dialed: async (text: string) => {
      client.write(text);
      await turn();
      const [dial] = dials;
      if (dial === undefined) throw new Error("no dial");
      return dial;
    },
    refused: async (limit: string) =>
      new MetricsPage(await expose(metrics.registry)).sum("hawser_server_refused_total", { limit }),
    httpConnections: async () =>
      new MetricsPage(await expose(metrics.registry)).sum("konnectivity_network_proxy_server_http_connections"),
  };
}

describe("a request", () => {
  it("asks for the authority of its first line, whatever Host says", async () => {
    const { dialed, httpConnections } = connected();
    const dial = await dialed(head);
    expect(dial.target).toEqual({ protocol: "tcp", address: "node-1:10250" });
    expect(await httpConnections()).toBe(1);
  });

  it("without Host is taken, and so is an IPv6 target", async () => {
    const { dialed } = connected();
    expect((await dialed("CONNECT [::1]:80 HTTP/1.1\r\n\r\n")).target.address).toBe("[::1]:80");
  });

  it("is answered with the 200 alone, and what came behind its head is kept", async () => {
    const { client, atClient, dialed, clock } = connected();
    const dial = await dialed(`${head}early `);
    const { duplex, halfClose } = await dial.accept({});
    const got = receive(duplex);
    client.write("and late");
    await turn();
    expect(halfClose).toBe(true);
    expect(atClient.bytes.toString()).toBe("HTTP/1.1 200 Connection Established\r\n\r\n");
    expect(got.bytes.toString()).toBe("early and late");
    expect(clock.pending).toBe(0);
  });

  it("by another method is told that this is a proxy, and the client may ask again", async () => {
    const { client, atClient, dials, dialed } = connected();
    client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await turn();
    const answer = atClient.bytes.toString();
    expect(answer).toMatch(/^HTTP\/1\.1 405 Method Not Allowed\r\n/);
    expect(answer).toContain("Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n");
    expect(answer).toMatch(/\r\n\r\nthis proxy only supports CONNECT passthrough\n$/);
    expect(dials.length).toBe(0);
    await dialed(head);
  });
});

/** The reference's answers, byte for byte. */
describe("a refusal, byte for byte", () => {
  it.each([
    [
      new ProxyError("no_agent", "No agent available"),
      "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\ncurrently no tunnels available: No agent available",
    ],
    [
      new ProxyError("dial_timeout", "timed out waiting for backend dial"),
      `HTTP/1.1 504 Gateway Timeout\r\n${plain}\r\n\r\nBackend dial timeout: timed out waiting for backend dial\r\n`,
    ],
    [
      new ProxyError("agent_lost", "the agent was lost"),
      `HTTP/1.1 502 Bad Gateway\r\n${plain}\r\n\r\nBackend context error: context canceled\r\n`,
    ],
    [
      new ProxyError("refused", "dial tcp 10.0.0.1:80: connect: connection refused", { reportedBy: "agent" }),
      `HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n${plain}\r\n\r\ndial tcp 10.0.0.1:80: connect: connection refused`,
    ],
    [
      new ProxyError("dial_timeout", "dial tcp 10.0.0.1:80: i/o timeout", { reportedBy: "agent" }),
      `HTTP/1.1 504 Gateway Timeout\r\nConnection: close\r\n${plain}\r\n\r\ndial tcp 10.0.0.1:80: i/o timeout`,
    ],
    [
      new ProxyError("over_limit", "socket: too many open files", { reportedBy: "agent" }),
      `HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n${plain}\r\n\r\nsocket: too many open files`,
    ],
    [
      new ProxyError("denied", "not allowed"),
      `HTTP/1.1 403 Forbidden\r\nConnection: close\r\n${plain}\r\n\r\nnot allowed`,
    ],
  ])("%s", async (error, bytes) => {
    const { atClient, dialed, client, socket, clock } = connected();
    const dial = await dialed(head);
    dial.refuse(error);
    await turn();
    expect(atClient.bytes.toString()).toBe(bytes);
    expect(atClient.ended).toBe(true);
    client.end();
    await turn();
    expect(socket.destroyed).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it("is nothing at all when the agent gave the dial up", async () => {
    const { atClient, dialed, socket } = connected();
    (await dialed(head)).refuse(new ProxyError("cancelled", "the agent gave the dial up"));
    await turn();
    expect(atClient.bytes.length).toBe(0);
    expect(socket.destroyed).toBe(true);
  });

  it("waits two seconds for a client that goes on sending, then closes", async () => {
    const { client, dialed, socket, clock } = connected();
    (await dialed(head)).refuse(new ProxyError("no_agent", "No agent available"));
    client.write("still talking");
    await turn();
    clock.advance(1_999);
    expect(socket.destroyed).toBe(false);
    clock.advance(1);
    expect(socket.destroyed).toBe(true);
  });
});

describe("a client that leaves while its dial waits", () => {
  it.each(["by a reset", "by a FIN"])("cancels it, %s", async (how) => {
    const { client, dialed, httpConnections, atClient } = connected();
    const dial = await dialed(head);
    if (how === "by a reset") client.destroy(new Error("reset"));
    else client.end();
    await turn();
    expect(dial.signal.reason).toMatchObject({ code: "cancelled" });
    dial.refuse(dial.signal.reason as ProxyError);
    await turn();
    expect(await httpConnections()).toBe(0);
    expect(atClient.bytes.length).toBe(0);
  });

  it("in the turn of the answer makes the answer fail", async () => {
    const { client, dialed } = connected();
    const dial = await dialed(head);
    client.destroy(new Error("reset"));
    await turn();
    await expect(dial.accept({})).rejects.toMatchObject({ code: "cancelled" });
  });
});

describe("a client that asks nothing", () => {
  it.each(["", "CONNECT node-1:10250 HT"])("is closed after 10 s: %j", async (bytes) => {
    const { client, socket, clock, dials, refused } = connected();
    if (bytes !== "") client.write(bytes);
    await turn();
    clock.advance(9_999);
    expect(socket.destroyed).toBe(false);
    clock.advance(1);
    expect(socket.destroyed).toBe(true);
    await turn();
    expect(dials.length).toBe(0);
    expect(await refused("connect_head_time")).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it("is closed at once when the listener drains; one whose dial runs is not", async () => {
    const idle = connected();
    idle.frontend.drain();
    expect(idle.socket.destroyed).toBe(true);
    const busy = connected();
    await busy.dialed(head);
    busy.frontend.drain();
    expect(busy.socket.destroyed).toBe(false);
  });

  it("is told of a head that is too long", async () => {
    const { client, atClient, dials } = connected();
    client.write(`CONNECT node-1:80 HTTP/1.1\r\nX: ${"x".repeat(17 * 1024)}`);
    await turn();
    expect(atClient.bytes.toString()).toMatch(/^HTTP\/1\.1 431 /);
    expect(dials.length).toBe(0);
  });
});

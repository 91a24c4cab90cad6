import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { newRandom, proxyPath, readAll, readBytes } from "../../support/frontend-client.ts";
import { type RawAgent, rawAgentHost } from "../../support/raw-agent.ts";
import { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";

const resourceExhausted = 8;

let scene: Scene;
let echo: Endpoint;
beforeAll(async () => {
  echo = await echoEndpoint();
});
afterAll(() => echo.close());
afterEach(() => scene.settle());

const refusals = async (limit: string) =>
  (await scene.tunnel.server.metrics()).sum("hawser_server_refused_total", { limit }) ?? 0;

/** Asks for a connection by CONNECT; resolves to the whole answer of a refusal. */
async function refusedConnect(address = echo.address): Promise<string> {
  const socket = await scene.socket();
  socket.write(`CONNECT ${address} HTTP/1.1\r\n\r\n`);
  return readAll(socket);
}

/** Asks for a connection by gRPC; resolves to the error of the answer. */
async function refusedDial(address = echo.address): Promise<string> {
  const stream = (await scene.session()).open(proxyPath);
  stream.send({ type: "DIAL_REQ", protocol: "tcp", address, random: newRandom() });
  return (await stream.next("DIAL_RSP")).error;
}

async function expectEcho(): Promise<void> {
  const { duplex } = await scene.connection(echo.address);
  duplex.write("hello");
  expect((await readBytes(duplex, 5)).toString()).toBe("hello");
}

describe("R-3.5: --max-frontend-connections=3", () => {
  beforeAll(async () => {
    scene = await Scene.start({ serverFlags: ["--mode=auto", "--max-frontend-connections=3"] });
  });
  afterAll(() => scene.stop());

  test("one client too many, and the oldest that has not dialed goes", async () => {
    const before = await refusals("frontend_connections");
    const connected = await scene.connection(echo.address);
    const oldest = await scene.socket();
    const gone = within(5_000, "the end of the oldest", once(oldest.resume(), "end"));
    await scene.socket();
    await expectEcho();
    await gone;
    expect(await refusals("frontend_connections")).toBe(before + 1);
    connected.duplex.write("hello");
    expect((await readBytes(connected.duplex, 5)).toString()).toBe("hello");
  });

  test("where all clients have connections, a dial by either protocol is refused at once, and the next succeeds when one has ended", async () => {
    const before = await refusals("frontend_connections");
    const held = await Promise.all([0, 1, 2].map(() => scene.connection(echo.address)));
    const answer = await refusedConnect();
    expect(answer).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    expect(answer).toContain("this server has 3 connections already");
    expect(await refusedDial()).toMatch(/^this server has 3 connections already \(dial \d+\)$/);
    expect(await refusals("frontend_connections")).toBe(before + 2);
    await held[0]?.close();
    const ended = async () => (await scene.tunnel.server.metric("established_connections")) === 2;
    await until("one connection to end", ended, { withinMs: 5_000 });
    await expectEcho();
  });

  test("streams on one client connection are bounded alike", async () => {
    const session = await scene.session();
    const idle = [0, 1, 2, 3].map(() => session.open(proxyPath));
    expect(await idle[0]?.ended).toMatchObject({ status: resourceExhausted });
    const [, second] = idle;
    second?.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random: 5n });
    expect(await second?.next("DIAL_RSP")).toMatchObject({ random: 5n, error: "" });
  });
});

describe("R-3.5: --max-pending-dials=2", () => {
  let agent: RawAgent;
  beforeAll(async () => {
    scene = await Scene.start({ agentCount: 0, serverFlags: ["--mode=auto", "--max-pending-dials=2"] });
  });
  afterAll(() => scene.stop());

  test("a third dial is refused at once, and one is taken again when another was answered", async () => {
    const address = `${rawAgentHost}:9`;
    agent = await scene.rawAgent();
    const [first] = await Promise.all([refusableDial(address), refusableDial(address)]);
    expect(await refusedConnect(address)).toMatch(
      /^HTTP\/1\.1 503 (.|\s)*this server has 2 dials without an answer already$/,
    );
    expect(await refusedDial(address)).toContain("this server has 2 dials without an answer already");
    expect(await refusals("pending_dials")).toBe(2);
    agent.stream.send({ type: "DIAL_RSP", random: first?.random ?? 0n, connectId: 0n, error: "connection refused" });
    expect((await first?.client.next("DIAL_RSP"))?.error).toBe("connection refused");
    await refusableDial(address);
    expect(await refusals("pending_dials")).toBe(2);
  });

  /** A dial that the agent got and does not answer. */
  async function refusableDial(address: string) {
    const client = (await scene.session()).open(proxyPath);
    const random = newRandom();
    client.send({ type: "DIAL_REQ", protocol: "tcp", address, random });
    await agent.stream.next("DIAL_REQ");
    return { client, random };
  }
});

describe.each(["auto", "konnectivity"])("R-3.5: --max-agent-connections=2, --link-protocol=%s", (linkProtocol) => {
  beforeAll(async () => {
    scene = await Scene.start({
      serverFlags: ["--mode=auto", "--max-agent-connections=2"],
      agentFlags: [`--link-protocol=${linkProtocol}`],
    });
  });
  afterAll(() => scene.stop());

  test("a third connection is refused, and goes to another agent once there is one", async () => {
    await scene.connection(echo.address);
    await scene.connection(echo.address);
    expect(await refusedDial()).toContain("the agent has 2 connections already");
    expect(await refusals("agent_connections")).toBe(1);
    const second = await scene.tunnel.addAgent();
    for (let dial = 0; dial < 2; dial++) await expectEcho();
    expect(await second.metric("open_endpoint_connections")).toBe(2);
    expect(await refusedDial()).toContain("the agent has 2 connections already");
  });
});

describe("R-3.5: --max-agent-links=1", () => {
  beforeAll(async () => {
    scene = await Scene.start({ serverFlags: ["--max-agent-links=1"] });
  });
  afterAll(() => scene.stop());

  test("a second agent is refused, and the first is none the worse", async () => {
    const stream = (await scene.agentSession()).open("/AgentService/Connect", { agentid: "b", agentidentifiers: "" });
    expect(await stream.ended).toMatchObject({
      status: resourceExhausted,
      message: "this server has 1 agent links already",
    });
    expect(await refusals("links")).toBe(1);
    await expectEcho();
  });
});

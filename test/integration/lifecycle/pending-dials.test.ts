import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newRandom, proxyPath, readAll } from "../../support/frontend-client.ts";
import { type RawAgent, rawAgentHost } from "../../support/raw-agent.ts";
import { Scene } from "../../support/scene.ts";
import { timeOf } from "../../support/standstill.ts";

const address = `${rawAgentHost}:9`;
/** Of an answer that follows an event, and for the deadline the time by which it may be late. */
const soonMs = 1_000;

let scene: Scene;
let agent: RawAgent;
beforeEach(async () => {
  agent = await scene.rawAgent();
});
afterEach(() => scene.settle());

/** A gRPC dial that has arrived at the agent. */
async function pendingGrpc() {
  const session = await scene.session();
  const client = session.open(proxyPath);
  const random = newRandom();
  client.send({ type: "DIAL_REQ", protocol: "tcp", address, random });
  expect(await agent.stream.next("DIAL_REQ")).toMatchObject({ random });
  return { session, client, random };
}

/** A CONNECT dial that has arrived at the agent. */
async function pendingConnect() {
  const socket = await scene.socket();
  socket.write(`CONNECT ${address} HTTP/1.1\r\n\r\n`);
  const { random } = await agent.stream.next("DIAL_REQ");
  return { socket, random };
}

async function expectSoon<T>(work: Promise<T>, limitMs = soonMs): Promise<T> {
  expect(await timeOf(work)).toBeLessThan(limitMs);
  return work;
}

describe("an agent that never answers", () => {
  beforeAll(async () => {
    scene = await Scene.start({ agentCount: 0, serverFlags: ["--mode=auto", "--backend-dial-timeout=30s"] });
  });
  afterAll(() => scene.stop());

  test("dies: a gRPC dial fails at once", async () => {
    const { client, random } = await pendingGrpc();
    await agent.session.close();
    const answer = await expectSoon(client.next("DIAL_RSP"));
    expect(answer).toMatchObject({ random, connectId: 0n });
    expect(answer.error).toBe(`the connection to the agent was lost (dial ${random})`);
  });

  test("dies: a CONNECT dial is answered at once as the contract says", async () => {
    const { socket } = await pendingConnect();
    await agent.session.close();
    expect(await expectSoon(readAll(socket))).toBe(
      "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBackend context error: context canceled\r\n",
    );
  });

  test("closes the dial: the gRPC client's dial fails, the CONNECT client's socket is closed without a word", async () => {
    const { client, random } = await pendingGrpc();
    agent.stream.send({ type: "DIAL_CLS", random });
    expect((await client.next("DIAL_RSP")).error).toBe(`the agent gave the dial up (dial ${random})`);
    const connect = await pendingConnect();
    agent.stream.send({ type: "DIAL_CLS", random: connect.random });
    expect(await readAll(connect.socket)).toBe("");
  });

  test("a gRPC client cancels: the agent is told, and its late answer is closed", async () => {
    const { client, random } = await pendingGrpc();
    client.send({ type: "DIAL_CLS", random });
    expect(await agent.stream.next("DIAL_CLS")).toMatchObject({ random });
    agent.stream.send({ type: "DIAL_RSP", random, connectId: 3n, error: "" });
    expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 3n });
    expect(await client.finish()).toEqual([]);
  });

  test.each(["resets its stream", "half-closes", "drops its connection"])(
    "a gRPC client %s: the agent is told, and its late answer is closed",
    async (how) => {
      const { session, client, random } = await pendingGrpc();
      if (how === "resets its stream") client.cancel();
      else if (how === "half-closes") await client.finish();
      else await session.close();
      expect(await agent.stream.next("DIAL_CLS")).toMatchObject({ random });
      agent.stream.send({ type: "DIAL_RSP", random, connectId: 3n, error: "" });
      expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 3n });
    },
  );

  test("a CONNECT client leaves: the agent is told, and its late answer is closed", async () => {
    const { socket, random } = await pendingConnect();
    socket.destroy();
    expect(await agent.stream.next("DIAL_CLS")).toMatchObject({ random });
    agent.stream.send({ type: "DIAL_RSP", random, connectId: 3n, error: "" });
    expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 3n });
  });
});

describe("the deadline of a dial, --backend-dial-timeout=1s", () => {
  const timeoutMs = 1_000;
  beforeAll(async () => {
    scene = await Scene.start({ agentCount: 0, serverFlags: ["--mode=auto", "--backend-dial-timeout=1s"] });
  });
  afterAll(() => scene.stop());

  test("a gRPC client gets the contract's text, and the late answer is closed", async () => {
    const { client, random } = await pendingGrpc();
    expect(await expectSoon(client.next("DIAL_RSP"), timeoutMs + soonMs)).toMatchObject({
      random,
      connectId: 0n,
      error: "timed out waiting for backend dial",
    });
    expect(await agent.stream.next("DIAL_CLS")).toMatchObject({ random });
    agent.stream.send({ type: "DIAL_RSP", random, connectId: 3n, error: "" });
    expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 3n });
  });

  test("a CONNECT client gets the contract's bytes", async () => {
    const { socket } = await pendingConnect();
    expect(await readAll(socket)).toBe(
      "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" +
        "Backend dial timeout: timed out waiting for backend dial\r\n",
    );
  });
});

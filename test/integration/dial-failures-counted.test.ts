import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { refusingAddress } from "../support/endpoints.ts";
import { newRandom, proxyPath, readAll } from "../support/frontend-client.ts";
import { rawAgentHost } from "../support/raw-agent.ts";
import { Scene } from "../support/scene.ts";

let scene: Scene;
afterEach(() => scene.settle());

/** How often each half has counted each reason. */
async function failures(): Promise<Record<string, number>> {
  const { server, agents } = scene.tunnel;
  const counts: Record<string, number> = {};
  for (const half of [server, ...agents]) {
    const [prefix, family] =
      half === server ? ["server", "server_dial_failure_count"] : ["agent", "agent_endpoint_dial_failure_total"];
    for (const { name, labels, value } of (await half.metrics()).samples) {
      if (name === `konnectivity_network_proxy_${family}`) counts[`${prefix} ${labels.reason}`] = value;
    }
  }
  return counts;
}

/** What has been added meanwhile. */
async function countedBy(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await failures();
  await work();
  const grown = Object.entries(await failures()).map(([reason, count]) => [reason, count - (before[reason] ?? 0)]);
  return Object.fromEntries(grown.filter(([, count]) => count !== 0));
}

async function connectTo(address: string): Promise<string> {
  const socket = await scene.socket();
  socket.write(`CONNECT ${address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  return readAll(socket);
}

describe("a dial that its agent refuses is counted once at each half", () => {
  beforeAll(async () => {
    scene = await Scene.start({ serverFlags: ["--mode=auto"] });
  });
  afterAll(() => scene.stop());

  test("a port that refuses, by gRPC", async () => {
    const address = await refusingAddress();
    const counted = await countedBy(() => expect(scene.dialGrpc(address)).rejects.toThrow("connection refused"));
    expect(counted).toEqual({ "server error_response": 1, "agent unknown": 1 });
  });

  test("a port that refuses, by CONNECT", async () => {
    const address = await refusingAddress();
    const counted = await countedBy(async () => {
      expect(await connectTo(address)).toMatch(/^HTTP\/1\.1 502 .*connection refused/s);
    });
    expect(counted).toEqual({ "server error_response": 1, "agent unknown": 1 });
  });

  // Not a name at all, so that no resolver is asked for it.
  test("a name that is unknown", async () => {
    const counted = await countedBy(async () => {
      expect(await connectTo("no..such:80")).toMatch(/^HTTP\/1\.1 502 .*no such host/s);
    });
    expect(counted).toEqual({ "server error_response": 1, "agent unknown": 1 });
  });
});

describe("a dial that ends before its agent answers is counted once", () => {
  beforeAll(async () => {
    // No other agent that would be asked in place of one that is lost.
    scene = await Scene.start({ agentCount: 0 });
  });
  afterAll(() => scene.stop());

  test("a client that cancels", async () => {
    const agent = await scene.rawAgent();
    const counted = await countedBy(async () => {
      const client = (await scene.session()).open(proxyPath);
      const random = newRandom();
      client.send({ type: "DIAL_REQ", protocol: "tcp", address: `${rawAgentHost}:9`, random });
      await agent.stream.next("DIAL_REQ");
      client.send({ type: "DIAL_CLS", random });
      await agent.stream.next("DIAL_CLS");
    });
    expect(counted).toEqual({ "server frontend_close": 1 });
  });

  test("an agent that is lost while it dials", async () => {
    const agent = await scene.rawAgent();
    const counted = await countedBy(async () => {
      const client = (await scene.session()).open(proxyPath);
      client.send({ type: "DIAL_REQ", protocol: "tcp", address: `${rawAgentHost}:9`, random: newRandom() });
      await agent.stream.next("DIAL_REQ");
      await agent.session.close();
      await client.next("DIAL_RSP");
    });
    expect(counted).toEqual({ "server backend_close": 1 });
  });
});

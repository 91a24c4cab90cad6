import { afterEach, beforeEach, expect, test } from "vitest";
import type { Packet } from "../../shared/konnectivity/packet.ts";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { type ProxyProcess, startAgent } from "../support/processes.ts";
import type { RawAgent } from "../support/raw-agent.ts";
import { Scene } from "../support/scene.ts";
import { protocols } from "./fault-scene.ts";
import { Holdings } from "./holdings.ts";

/** Two seconds until an agent is probed, two for its answer, and time for a busy machine within the deadline of a dial. */
const patience = { leastMs: 3_900, mostMs: 7_900 };
const atOnceMs = 1_500;

/** A raw agent of the reference's link, which answers nothing but what HTTP/2 answers by itself, and a good one beside it. */
let scene: Scene;
let holdings: Holdings;
let echo: Endpoint;
let mute: RawAgent;
let good: ProxyProcess;

/** The mute agent is linked first and so asked first, for the destinations that it claims. */
async function start(identifiers: { readonly mute: string; readonly good: string }): Promise<void> {
  const { workspace, server, agents } = scene.tunnel;
  mute = await scene.rawAgent({ identifiers: identifiers.mute });
  good = await startAgent({
    implementation: "hawser",
    workspace,
    agentPort: server.agentPort,
    agentId: "good",
    flags: [`--agent-identifiers=${identifiers.good}`],
  });
  agents.push(good);
}

beforeEach(async () => {
  scene = await Scene.start({ agentCount: 0, serverFlags: ["--mode=auto"] });
  holdings = await Holdings.take(scene);
  echo = await scene.endpoint(echoEndpoint());
});
afterEach(async () => {
  try {
    await scene.settle();
    // Of the server alone: the agent came later.
    for (const agent of [...scene.tunnel.agents]) scene.tunnel.killAgent(agent);
    await holdings.regain();
  } finally {
    await scene.discard();
  }
});

/** Dials and echoes; resolves to how long that took. */
async function dialMs(protocol: (typeof protocols)[number] = "grpc"): Promise<number> {
  const startedAt = performance.now();
  const { duplex } = await scene.connection(echo.address, protocol);
  duplex.write("hello");
  expect((await readBytes(duplex, 5)).toString()).toBe("hello");
  return performance.now() - startedAt;
}

const dialsOf = (agent: ProxyProcess) => agent.metric("dial_duration_seconds_count");

async function takeProbe(): Promise<bigint> {
  return (await mute.stream.next("CLOSE_REQ")).connectId;
}

test("R-2.3, R-2.4: its dials go to another agent within their deadline, it is asked last, and first again once it answers", async () => {
  await start({ mute: "ipv4=127.0.0.1", good: "ipv4=127.0.0.1" });
  const waiting = await Promise.all([0, 1, 2, 3, 4].map((index) => dialMs(protocols[index % 2])));
  expect(Math.min(...waiting)).toBeGreaterThan(patience.leastMs);
  expect(Math.max(...waiting)).toBeLessThan(patience.mostMs);
  const asked: Packet["type"][] = [];
  while (asked.length < 11) asked.push((await mute.stream.take())?.type ?? "DATA");
  expect(asked).toEqual([..."DDDDDPCCCCC"].map((kind) => ({ D: "DIAL_REQ", P: "CLOSE_REQ", C: "DIAL_CLS" })[kind]));

  // Asked last: nothing comes to it but probes.
  for (const protocol of protocols) expect(await dialMs(protocol)).toBeLessThan(atOnceMs);
  const connectId = await takeProbe();
  expect(await takeProbe()).toBe(connectId);

  mute.stream.send({ type: "CLOSE_RSP", connectId, error: "unknown connection" });
  const dialedBefore = await dialsOf(good);
  const answered = scene.connection(echo.address);
  const { random } = await mute.stream.next("DIAL_REQ");
  mute.stream.send({ type: "DIAL_RSP", random, connectId: 5n, error: "" });
  const { duplex } = await answered;
  mute.stream.send({ type: "DATA", connectId: 5n, data: Buffer.from("it is me") });
  expect((await readBytes(duplex, 8)).toString()).toBe("it is me");

  // Never again elsewhere once it stands, whatever becomes of it.
  const lost = readBytes(duplex, 1);
  await mute.session.close();
  expect((await lost).length).toBe(0);
  expect(await dialsOf(good)).toBe(dialedBefore);
});

test("R-2.4: where another agent is only a fallback, no dial waits out its deadline for the one that is silent", async () => {
  await start({ mute: "ipv4=127.0.0.1", good: "ipv4=127.0.0.9" });
  const first = await dialMs();
  expect(first).toBeGreaterThan(patience.leastMs);
  expect(first).toBeLessThan(patience.mostMs);
  // It is still asked first, as it alone claims the destination, but for no longer than a probe takes.
  for (const protocol of protocols) expect(await dialMs(protocol)).toBeLessThan(patience.leastMs);
});

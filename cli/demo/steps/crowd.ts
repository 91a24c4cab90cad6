import { text } from "node:stream/consumers";
import type { FrontendProtocol } from "../../client/dial.ts";
import { askKubelet, type Stage } from "../stage.ts";
import { expectEqual } from "../story.ts";

const connectionCount = 200;

/** Opens many connections; the kubelet answers none of them before all have asked. */
export async function crowd(stage: Stage): Promise<void> {
  const { story, tunnel } = stage;
  story.chapter(`${connectionCount} connections at once`);
  let before: ReadonlyMap<string, number> = new Map();
  const step = {
    label: "open together",
    expected: `${connectionCount} answers, none before all ${connectionCount} had asked`,
  };
  await story.tell(step, async (signal) => {
    before = await dialsByAgent(stage, signal);
    const askOne = async (protocol: FrontendProtocol) => {
      const path = `/together?count=${connectionCount}`;
      const answer = await askKubelet(stage, protocol, { method: "GET", path }, { signal });
      expectEqual("status", answer.status, 200);
      expectEqual("connections that the kubelet had:", (await text(answer.body)).trim(), String(connectionCount));
    };
    const half = connectionCount / 2;
    await Promise.all(Array.from({ length: connectionCount }, (_, index) => askOne(index < half ? "grpc" : "connect")));
    return { result: `${half} by gRPC and ${half} by HTTP CONNECT` };
  });
  await story.tell({ label: "who carried them", expected: "a share for each agent" }, async (signal) => {
    const after = await dialsByAgent(stage, signal);
    const shares = [...tunnel.agents.values()].map(({ name }) => ({
      name,
      count: (after.get(name) ?? 0) - (before.get(name) ?? 0),
    }));
    const sum = shares.reduce((total, { count }) => total + count, 0);
    expectEqual("dials counted by the agents:", sum, connectionCount);
    return { result: shares.map(({ name, count }) => `${name} ${count}`).join(", "), figure: "by their metrics" };
  });
}

async function dialsByAgent({ tunnel }: Stage, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const entries = [...tunnel.agents.values()].map(async (agent) => {
    return [agent.name, await agent.observations("dial_duration_seconds", { signal })] as const;
  });
  return new Map(await Promise.all(entries));
}

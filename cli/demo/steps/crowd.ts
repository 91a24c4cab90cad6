import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { askOver, dialKubelet, protocols, type Stage } from "../stage.ts";
import { expectEqual } from "../story.ts";

const connectionCount = 200;
/** Of these, how many are dialed at a time: all at once they would hold up one another for longer than a server gives a TLS handshake on a busy machine. */
const dialsAtOnce = 10;

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
    const askOne = async (duplex: Duplex) => {
      const path = `/together?count=${connectionCount}`;
      const answer = await askOver(stage, duplex, { method: "GET", path }, { signal });
      expectEqual("status", answer.status, 200);
      expectEqual("connections that the kubelet had:", (await text(answer.body)).trim(), String(connectionCount));
    };
    const answers: Promise<void>[] = [];
    let dialed = 0;
    const dialOn = async () => {
      while (dialed < connectionCount) {
        const protocol = protocols[dialed++ % protocols.length] ?? "grpc";
        const answer = askOne(await dialKubelet(stage, protocol, { signal }));
        // It may fail before it is waited for.
        answer.catch(() => {});
        answers.push(answer);
      }
    };
    await Promise.all(Array.from({ length: dialsAtOnce }, dialOn));
    await Promise.all(answers);
    const half = connectionCount / protocols.length;
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

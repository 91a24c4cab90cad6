import { setTimeout as sleep } from "node:timers/promises";
import { TunnelClient } from "../interop/tunnel-client.ts";
import { linkRawAgent, type RawAgent } from "../support/raw-agent.ts";
import type { Tunnel } from "../support/tunnel.ts";
import { memoryOf, type Stage } from "./load.ts";
import type { Halves, MemoryMiB, Sample } from "./results.ts";
import type { RunningWay } from "./ways.ts";

/** What is idle stays so for that long before memory is read: both runtimes still tidy up after the work of opening it. */
const restMs = 2_000;
const linkedAtOnce = 25;
const openWithinMs = 120_000;

/** Memory of both halves for each of so many connections that do nothing. */
export async function idleConnections(way: RunningWay, { endpoints }: Stage, count: number): Promise<Sample> {
  const before = await restedMemory(way);
  const args = [`--target=${endpoints.addresses.echo}`, `--connections=${count}`];
  const client = await TunnelClient.start("hold", [...way.clientArgs, ...args]);
  try {
    await client.waitFor<{ readonly connections: number }>("connections", 0, openWithinMs);
    const memory = await restedMemory(way);
    const open = await endpoints.openCount();
    if (open !== count) throw new Error(`${open} of ${count} connections were open when memory was read`);
    const grown = (half: keyof Halves<unknown>) => memory[half].after - before[half].after;
    return { figure: ((grown("server") + grown("agent")) * 1024) / count, memory };
  } finally {
    await client.process.stop();
  }
}

/**
 * Memory of the server for each of so many agents that do nothing. They speak the reference's link, at either server, and are
 * sessions of this process: one agent process each would need more memory than machines have.
 */
export async function idleAgents(way: RunningWay, count: number): Promise<Sample> {
  const { tunnel } = way;
  if (tunnel === undefined) throw new Error("only a tunnel has agents");
  const before = await restedMemory(way);
  const agents: RawAgent[] = [];
  try {
    await linkAgents(tunnel, count, agents);
    await tunnel.serverCounts(count + 1);
    const memory = await restedMemory(way);
    await tunnel.serverCounts(count + 1);
    return { figure: ((memory.server.after - before.server.after) * 1024) / count, memory };
  } finally {
    await Promise.all(agents.map(({ session }) => session.close()));
  }
}

async function linkAgents(tunnel: Tunnel, count: number, into: RawAgent[]): Promise<void> {
  let next = 0;
  const linkOn = async () => {
    while (next < count) into.push(await linkRawAgent(tunnel, { agentId: `idle-${next++}`, identifiers: "" }));
  };
  await Promise.all(Array.from({ length: linkedAtOnce }, linkOn));
}

async function restedMemory(way: RunningWay): Promise<Halves<MemoryMiB>> {
  await sleep(restMs);
  const memory = memoryOf(way);
  if (memory === undefined) throw new Error("a direct connection has no halves");
  return memory;
}

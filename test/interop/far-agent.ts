import { type AgentStart, type ProxyProcess, startAgent } from "../support/processes.ts";
import type { Tunnel } from "../support/tunnel.ts";
import { TunnelClient } from "./tunnel-client.ts";

/** A path to a port of this machine that takes its time in either direction, and carries as much as one likes. */
export class LongWay {
  readonly port: number;
  readonly #process: TunnelClient["process"];

  private constructor(port: number, process: TunnelClient["process"]) {
    this.port = port;
    this.#process = process;
  }

  static async start(to: { readonly host: string; readonly port: number }, oneWayMs: number): Promise<LongWay> {
    const args = [`--to=${to.host}:${to.port}`, `--delay=${oneWayMs}ms`, "--timeout=1h"];
    const client = await TunnelClient.start("delay", args);
    const { port } = await client.waitFor<{ readonly port: number }>("port", 0);
    return new LongWay(port, client.process);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

/** An agent that is linked over a long way, and its way. */
export interface FarAgent {
  readonly agent: ProxyProcess;
  stop(): Promise<void>;
}

/** Links the first agent of a tunnel that has none. Leaves nothing behind if that fails. */
export async function linkFromAfar(
  tunnel: Tunnel,
  oneWayMs: number,
  start: Pick<AgentStart, "implementation" | "place" | "flags">,
): Promise<FarAgent> {
  const { workspace, server } = tunnel;
  const way = await LongWay.start({ host: server.agentHost, port: server.agentPort }, oneWayMs);
  let agent: ProxyProcess | undefined;
  const stop = async () => {
    await agent?.stop();
    await way.stop();
  };
  try {
    agent = await startAgent({ ...start, workspace, agentPort: way.port, agentId: "far" });
    await tunnel.serverCounts(1);
    return { agent, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

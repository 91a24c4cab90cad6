import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LongWay } from "../interop/far-agent.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { Workspace } from "../support/workspace.ts";

/** The two processes of relay-main.ts, one in the server's place and one in the agent's. */
export interface RunningRelay {
  readonly server: ManagedProcess;
  readonly agent: ManagedProcess;
  /** Of the socket that takes CONNECT. */
  readonly path: string;
  stop(): Promise<void>;
}

export async function startRelay(oneWayMs: number): Promise<RunningRelay> {
  const workspace = new Workspace();
  const { agentCa, cluster } = workspace.certificates;
  const stops: (() => unknown)[] = [() => workspace.remove()];
  const stop = async () => {
    for (const each of stops.splice(0)) await each();
  };
  const start = async (half: string, ...args: readonly string[]) => {
    const program = join(repositoryRoot, "dist/test/bench/relay-main.js");
    const child = new ManagedProcess(`relay ${half}`, { file: process.execPath, args: [program, half, ...args] });
    stops.unshift(() => child.stop());
    const [listening] = await Promise.race([
      once(createInterface(child.stdout), "line"),
      child.exited.then(() => Promise.reject(child.gone.reason)),
    ]);
    return { child, listening: String(listening) };
  };
  try {
    const far = await start("far", cluster.cert, cluster.key);
    let port = Number(far.listening);
    if (oneWayMs > 0) {
      const way = await LongWay.start({ host: "127.0.0.1", port }, oneWayMs);
      stops.unshift(() => way.stop());
      port = way.port;
    }
    const path = workspace.path("relay.sock");
    const near = await start("near", path, String(port), agentCa);
    return { server: near.child, agent: far.child, path, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ManagedProcess } from "../support/managed-process.ts";
import type { Implementation, Place } from "../support/processes.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import type { WirePace } from "./delayed-wire.ts";
import { SplitNetwork } from "./split-network.ts";

export type Way = "down" | "up";

/** How fast bytes came, in MB/s: in the first second, while windows grow, and after it. */
export interface Rate {
  readonly first: number;
  readonly warm: number;
}

const firstMs = 1_000;
const warmMs = 1_500;
const measuredWithinMs = 20_000;

/** A server and an agent with a long way between them; the frontend is beside the server, the endpoint beside the agent. */
export class LongPath {
  readonly #network: SplitNetwork;
  readonly #tunnel: Tunnel;
  readonly #endpoint: ManagedProcess;
  #target = "";

  private constructor(network: SplitNetwork, tunnel: Tunnel) {
    this.#network = network;
    this.#tunnel = tunnel;
    this.#endpoint = start(network.agent, "endpoint-tcp", "127.0.0.1");
  }

  static async start(both: Implementation, pace: WirePace): Promise<LongPath> {
    const network = await SplitNetwork.create(pace);
    try {
      const frontend = { protocol: "connect", transport: "uds" } as const;
      const path = new LongPath(network, await Tunnel.start({ server: both, agent: both, frontend, places: network }));
      path.#target = `127.0.0.1:${await firstLine(path.#endpoint)}`;
      return path;
    } catch (error) {
      await network.remove();
      throw error;
    }
  }

  /** Over so many connections at once through the tunnel. */
  async throughTunnel(way: Way, connections = 1): Promise<Rate> {
    const { frontend } = this.#tunnel.server;
    if (frontend.transport !== "uds") throw new Error("the frontend was to be a Unix socket");
    const { server } = this.#network;
    const end = start(server, "frontend-tunnel", way, frontend.path, this.#target, `${connections}`);
    try {
      return await rateOf(end);
    } finally {
      await end.stop();
    }
  }

  /** Over one TLS connection between two Node processes, opened from the agent's place to the server's as a link is. */
  async bare(way: Way): Promise<Rate> {
    const { agentCa, cluster } = this.#tunnel.workspace.certificates;
    const { host } = this.#network.server;
    const ends = [start(this.#network.server, "frontend-tls", way, host, cluster.cert, cluster.key)] as const;
    const others: ManagedProcess[] = [];
    try {
      others.push(start(this.#network.agent, "endpoint-tls", host, await firstLine(ends[0]), agentCa));
      return await rateOf(ends[0]);
    } finally {
      await Promise.all([...ends, ...others].map((end) => end.stop()));
    }
  }

  async stop(): Promise<void> {
    await this.#endpoint.stop();
    await this.#tunnel.stop();
    await this.#network.remove();
  }
}

function start(place: Place, ...args: readonly string[]): ManagedProcess {
  const program = join(repositoryRoot, "dist/test/netns/bulk-end.js");
  return new ManagedProcess(args.join(" "), place.command({ file: process.execPath, args: [program, ...args] }));
}

async function firstLine(child: ManagedProcess): Promise<string> {
  const [line] = await Promise.race([once(createInterface(child.stdout), "line"), child.exited.then(() => [])]);
  if (line === undefined) throw child.gone.reason;
  return line;
}

async function rateOf(frontend: ManagedProcess): Promise<Rate> {
  const samples: { readonly ms: number; readonly bytes: number }[] = [];
  createInterface(frontend.stdout).on("line", (line) => {
    const [ms, bytes] = line.split(" ").map(Number) as [number, number];
    if (bytes > 0) samples.push({ ms, bytes });
  });
  const sampleAfter = (ms: number) => {
    const [first] = samples;
    return first && samples.find((sample) => sample.ms >= first.ms + ms);
  };
  const between = async (fromMs: number, toMs: number): Promise<number> => {
    const to = await until(`bytes of ${toMs} ms`, () => sampleAfter(toMs), {
      withinMs: measuredWithinMs,
      signal: frontend.gone,
      describe: () => frontend.describe(),
    });
    const from = sampleAfter(fromMs) ?? to;
    return (to.bytes - from.bytes) / 1_000 / (to.ms - from.ms);
  };
  return { first: await between(0, firstMs), warm: await between(firstMs, firstMs + warmMs) };
}

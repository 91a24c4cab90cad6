import { type Implementation, type ProxyProcess, type ProxyServer, startAgent, startServer } from "./processes.ts";
import type { RoundRobin } from "./round-robin.ts";
import type { TunnelFront } from "./tunnel.ts";
import { until } from "./until.ts";
import type { Workspace } from "./workspace.ts";

const usualWaitMs = 20_000;
const frontend = { protocol: "grpc", transport: "tcp" } as const;

/** The name of the lease of a fleet's server. */
export const leaseOf = (server: number): string => `konnectivity-proxy-server-server-${server}`;

/** How its processes find the API, and whatever else each half is to be told. */
export interface LeaseFleetFlags {
  readonly server: readonly string[];
  readonly agent: readonly string[];
}

export interface LeaseFleetParts {
  /** Is not removed with the fleet. */
  readonly workspace: Workspace;
  /** Goes with the fleet. */
  readonly balancer: RoundRobin;
  readonly flags: LeaseFleetFlags;
}

/** Servers behind a load balancer, which publish leases, and agents that count them. */
export class LeaseFleet {
  readonly agents: ProxyProcess[] = [];
  readonly servers = new Map<number, ProxyServer>();
  readonly #parts: LeaseFleetParts;

  constructor(parts: LeaseFleetParts) {
    this.#parts = parts;
  }

  /** Resolves when it listens; its lease may come later. */
  async addServer(id: number, implementation: Implementation = "hawser"): Promise<ProxyServer> {
    const { workspace, flags } = this.#parts;
    const server = await startServer({
      implementation,
      workspace,
      frontend,
      flags: [
        `--server-id=server-${id}`,
        "--enable-lease-controller",
        "--graceful-shutdown-timeout=0",
        ...flags.server,
      ],
    });
    this.servers.set(id, server);
    this.#balance();
    return server;
  }

  /** Sends a server a signal when the load balancer leads to it no more; resolves when it has gone. */
  async endServer(id: number, signal: "SIGTERM" | "SIGKILL"): Promise<{ readonly code: number | null }> {
    const server = this.server(id);
    this.servers.delete(id);
    this.#balance();
    server.kill(signal);
    await this.until(`the exit of server ${id}`, () => server.gone.aborted);
    return await server.exited;
  }

  /** Resolves when it is linked to a server. */
  async addAgent(id: string, implementation: Implementation = "hawser"): Promise<ProxyProcess> {
    const { workspace, flags, balancer } = this.#parts;
    const agent = await startAgent({
      implementation,
      workspace,
      agentPort: balancer.port,
      agentId: id,
      flags: ["--count-server-leases", ...flags.agent],
    });
    this.agents.push(agent);
    return agent;
  }

  server(id: number): ProxyServer {
    const server = this.servers.get(id);
    if (server === undefined) throw new Error(`there is no server ${id}`);
    return server;
  }

  /** For clients of one of its servers. */
  front(id: number): TunnelFront {
    const { workspace } = this.#parts;
    return { server: this.server(id), kind: frontend, workspace, describe: () => this.describe() };
  }

  /** Resolves when every agent knows of so many servers and is linked to so many. */
  async agentsSee(
    { known, linked }: { readonly known: number; readonly linked: number },
    withinMs = usualWaitMs,
  ): Promise<void> {
    for (const agent of this.agents) {
      await this.until(
        `${agent.name}: ${known} servers known, ${linked} linked`,
        async () =>
          (await agent.metric("known_server_count")) === known &&
          (await agent.metric("open_server_connections")) === linked,
        withinMs,
      );
    }
  }

  /** Waits for a state; a failure shows the log of every process. */
  async until<T>(
    what: string,
    read: () => T | undefined | false | Promise<T | undefined | false>,
    withinMs = usualWaitMs,
  ): Promise<T> {
    return await until(what, read, { withinMs, describe: () => this.describe() });
  }

  describe(): string {
    return [...this.agents, ...this.servers.values()].map((child) => child.describe()).join("\n");
  }

  async stop(): Promise<void> {
    await Promise.all([...this.agents, ...this.servers.values()].map((child) => child.stop()));
    await this.#parts.balancer.stop();
  }

  #balance(): void {
    this.#parts.balancer.targets = [...this.servers.values()].map(({ agentPort }) => agentPort);
  }
}

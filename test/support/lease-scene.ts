import { writeFileSync } from "node:fs";
import { FakeKubeApi } from "./fake-kube-api.ts";
import { FakeLeaseApi } from "./fake-lease-api.ts";
import { type Implementation, type ProxyProcess, type ProxyServer, startAgent, startServer } from "./processes.ts";
import { RoundRobin } from "./round-robin.ts";
import { serveLeases } from "./serve-leases.ts";
import { until } from "./until.ts";
import { Workspace } from "./workspace.ts";

const withinMs = 20_000;

/** The name of the lease of a scene's server. */
export const leaseOf = (server: number): string => `konnectivity-proxy-server-server-${server}`;

/** Servers behind a load balancer, with an API for their leases, and agents that count them. */
export class LeaseScene {
  readonly leases = new FakeLeaseApi();
  readonly agents: ProxyProcess[] = [];
  readonly servers = new Map<number, ProxyServer>();
  readonly #workspace = new Workspace();
  readonly #api: FakeKubeApi;
  readonly #balancer: RoundRobin;
  #apiIsUp = true;

  private constructor(api: FakeKubeApi, balancer: RoundRobin) {
    this.#api = api;
    this.#balancer = balancer;
    serveLeases(api, this.leases);
    writeFileSync(this.#kubeconfig, api.kubeconfig());
  }

  static async start(): Promise<LeaseScene> {
    return new LeaseScene(await FakeKubeApi.start(), await RoundRobin.start());
  }

  /** Resolves when it listens; its lease may come later. */
  async addServer(id: number, implementation: Implementation = "hawser"): Promise<ProxyServer> {
    const server = await startServer({
      implementation,
      workspace: this.#workspace,
      frontend: { protocol: "grpc", transport: "tcp" },
      flags: [
        `--server-id=server-${id}`,
        "--enable-lease-controller",
        "--graceful-shutdown-timeout=0",
        ...this.#apiFlags,
      ],
    });
    this.servers.set(id, server);
    this.#balance();
    return server;
  }

  /** Sends a server a signal when the load balancer leads to it no more; resolves when it has gone. */
  async endServer(id: number, signal: "SIGTERM" | "SIGKILL"): Promise<{ readonly code: number | null }> {
    const server = this.servers.get(id);
    if (server === undefined) throw new Error(`there is no server ${id}`);
    this.servers.delete(id);
    this.#balance();
    server.kill(signal);
    await this.until(`the exit of server ${id}`, () => server.gone.aborted);
    return await server.exited;
  }

  /** Resolves when it is linked to a server. */
  async addAgent(id: string, implementation: Implementation = "hawser"): Promise<ProxyProcess> {
    const agent = await startAgent({
      implementation,
      workspace: this.#workspace,
      agentPort: this.#balancer.port,
      agentId: id,
      flags: ["--count-server-leases", ...this.#apiFlags],
    });
    this.agents.push(agent);
    return agent;
  }

  /** Resolves when every agent knows of so many servers and is linked to so many. */
  async agentsSee({ known, linked }: { readonly known: number; readonly linked: number }): Promise<void> {
    for (const agent of this.agents) {
      await this.until(
        `${agent.name}: ${known} servers known, ${linked} linked`,
        async () =>
          (await agent.metric("known_server_count")) === known &&
          (await agent.metric("open_server_connections")) === linked,
      );
    }
  }

  async hasLease(id: number): Promise<void> {
    await this.until(`the lease of server ${id}`, () => this.leases.lease(leaseOf(id)));
  }

  /** Refuses connections, and drops those that stand. */
  async stopApi(): Promise<void> {
    this.#apiIsUp = false;
    await this.#api.close();
  }

  async restartApi(): Promise<void> {
    await this.#api.listen();
    this.#apiIsUp = true;
  }

  /** Waits for a state; a failure shows the log of every process. */
  async until<T>(what: string, read: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
    const describe = () => [...this.agents, ...this.servers.values()].map((child) => child.describe()).join("\n");
    return await until(what, read, { withinMs, describe });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.agents, ...this.servers.values()].map((child) => child.stop()));
    await this.#balancer.stop();
    if (this.#apiIsUp) await this.stopApi();
    this.#workspace.remove();
  }

  get #kubeconfig(): string {
    return this.#workspace.path("kubeconfig");
  }

  get #apiFlags(): readonly string[] {
    // The reference speaks protobuf by default.
    return [`--kubeconfig=${this.#kubeconfig}`, "--kube-api-content-type=application/json"];
  }

  #balance(): void {
    this.#balancer.targets = [...this.servers.values()].map(({ agentPort }) => agentPort);
  }
}

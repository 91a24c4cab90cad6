import { echoEndpoint } from "./endpoints.ts";
import { dialGrpc, frontendSession, readBytes } from "./frontend-client.ts";
import { type ProxyProcess, type ProxyServer, startAgent, startServer } from "./processes.ts";
import { RoundRobin } from "./round-robin.ts";
import { until } from "./until.ts";
import { Workspace } from "./workspace.ts";

/** Servers that say how many they are, behind one address, and agents that know this address. All are Hawser's. */
export class Installation {
  /** Oldest first. */
  readonly servers: ProxyServer[] = [];
  readonly agents: ProxyProcess[] = [];
  readonly workspace = new Workspace();
  readonly #balancer: RoundRobin;
  readonly #serverFlags: readonly string[];

  private constructor(balancer: RoundRobin, serverFlags: readonly string[]) {
    this.#balancer = balancer;
    this.#serverFlags = serverFlags;
  }

  /** Every server has these flags. Leaves nothing behind if it fails. */
  static async start(
    { serverCount }: { readonly serverCount: number },
    serverFlags: readonly string[] = [],
  ): Promise<Installation> {
    const installation = new Installation(await RoundRobin.start(), serverFlags);
    try {
      for (let index = 0; index < serverCount; index++) await installation.addServer();
      return installation;
    } catch (error) {
      await installation.stop();
      throw error;
    }
  }

  /** Connections of agents so far. */
  get connectionCount(): number {
    return this.#balancer.joinedCount;
  }

  async addServer(): Promise<ProxyServer> {
    const server = await startServer({
      implementation: "hawser",
      workspace: this.workspace,
      frontend: { protocol: "grpc", transport: "tcp" },
      flags: this.#serverFlags,
    });
    this.servers.push(server);
    this.#balance();
    return server;
  }

  /** Stops the oldest server. */
  async removeServer(): Promise<void> {
    await this.servers.shift()?.stop();
    this.#balance();
  }

  /** Resolves when it is linked to one server. */
  async addAgent(...flags: string[]): Promise<ProxyProcess> {
    const { workspace } = this;
    const agentId = `agent-${this.agents.length}`;
    const { port: agentPort } = this.#balancer;
    const agent = await startAgent({ implementation: "hawser", workspace, agentPort, agentId, flags });
    this.agents.push(agent);
    return agent;
  }

  /** Resolves when each half counts as many of the other as there are, and agents know of so many servers. */
  async settles(known: number): Promise<void> {
    const counts = async () => {
      const ofAgents = this.agents.map((agent) =>
        Promise.all([agent.metric("open_server_connections"), agent.metric("known_server_count")]),
      );
      const ofServers = this.servers.map((server) => server.metric("ready_backend_connections"));
      return JSON.stringify({ agents: await Promise.all(ofAgents), servers: await Promise.all(ofServers) });
    };
    const expected = JSON.stringify({
      agents: this.agents.map(() => [this.servers.length, known]),
      servers: this.servers.map(() => this.agents.length),
    });
    let last = "";
    const settled = async () => {
      last = await counts();
      return last === expected;
    };
    await until(`the counts ${expected}`, settled, { withinMs: 20_000, describe: () => last });
  }

  /** Puts a connection through each server. */
  async carriesThroughEach(): Promise<void> {
    const echo = await echoEndpoint();
    try {
      for (const server of this.servers) {
        const session = await frontendSession({ server, workspace: this.workspace });
        const connection = await dialGrpc(session, echo.address);
        connection.write("hello");
        const echoed = (await readBytes(connection, 5)).toString();
        if (echoed !== "hello") throw new Error(`${server.name} carried hello and brought ${echoed}`);
        await session.close();
      }
    } finally {
      await echo.close();
    }
  }

  /** Stops whatever runs, and removes its folder. */
  async stop(): Promise<void> {
    await Promise.all([...this.agents, ...this.servers].map((child) => child.stop()));
    await this.#balancer.stop();
    this.workspace.remove();
  }

  #balance(): void {
    this.#balancer.targets = this.servers.map(({ agentPort }) => agentPort);
  }
}

import { afterEach, expect, test } from "vitest";
import { echoEndpoint } from "../../support/endpoints.ts";
import { dialGrpc, frontendSession, readBytes } from "../../support/frontend-client.ts";
import { type ProxyProcess, type ProxyServer, startAgent, startServer } from "../../support/processes.ts";
import { RoundRobin } from "../../support/round-robin.ts";
import { until } from "../../support/until.ts";
import { Workspace } from "../../support/workspace.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Servers that say how many they are, behind one address. */
class Installation {
  readonly servers: ProxyServer[] = [];
  readonly agents: ProxyProcess[] = [];
  readonly workspace = new Workspace();
  readonly #balancer: RoundRobin;
  readonly #serverCount: number;

  private constructor(balancer: RoundRobin, serverCount: number) {
    this.#balancer = balancer;
    this.#serverCount = serverCount;
    closers.push(
      () => this.workspace.remove(),
      () => balancer.stop(),
    );
  }

  static async start(serverCount: number): Promise<Installation> {
    const installation = new Installation(await RoundRobin.start(), serverCount);
    for (let index = 0; index < serverCount; index++) await installation.addServer();
    return installation;
  }

  async addServer(): Promise<void> {
    const server = await startServer({
      implementation: "hawser",
      workspace: this.workspace,
      frontend: { protocol: "grpc", transport: "tcp" },
      flags: [`--server-count=${this.#serverCount}`],
    });
    closers.push(() => server.stop());
    this.servers.push(server);
    this.#balance();
  }

  /** Stops the oldest. */
  async removeServer(): Promise<void> {
    await this.servers.shift()?.stop();
    this.#balance();
  }

  async addAgent(...flags: string[]): Promise<void> {
    const { workspace } = this;
    const agentId = `agent-${this.agents.length}`;
    const { port: agentPort } = this.#balancer;
    const agent = await startAgent({ implementation: "hawser", workspace, agentPort, agentId, flags });
    closers.push(() => agent.stop());
    this.agents.push(agent);
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
        expect((await readBytes(connection, 5)).toString()).toBe("hello");
        await session.close();
      }
    } finally {
      await echo.close();
    }
  }

  #balance(): void {
    this.#balancer.targets = this.servers.map(({ agentPort }) => agentPort);
  }
}

test("one server and one agent that looks for servers for ever count one another once", async () => {
  const installation = await Installation.start(1);
  await installation.addAgent("--sync-forever");
  await installation.settles(1);
  await installation.carriesThroughEach();
});

test("three agents meet three servers behind one address, do without one that leaves, and meet the one that comes", async () => {
  const installation = await Installation.start(3);
  for (let index = 0; index < 3; index++) await installation.addAgent();
  await installation.settles(3);
  await installation.carriesThroughEach();
  await installation.removeServer();
  await installation.settles(3);
  await installation.carriesThroughEach();
  await installation.addServer();
  await installation.settles(3);
  await installation.carriesThroughEach();
});

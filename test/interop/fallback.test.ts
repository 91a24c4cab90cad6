import { afterEach, describe, expect, test } from "vitest";
import { echoEndpoint } from "../support/endpoints.ts";
import { dialGrpc, frontendSession, readBytes } from "../support/frontend-client.ts";
import {
  type Implementation,
  type ProxyProcess,
  type ProxyServer,
  readyAgents,
  startAgent,
  startServer,
} from "../support/processes.ts";
import { RoundRobin } from "../support/round-robin.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";

/** Our agent, which asks for Hawser's own link, and servers of the reference, which answer that they do not know it. */

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** One address, behind which stands one server after the other. */
class Place {
  readonly workspace = new Workspace();
  readonly balancer: RoundRobin;

  private constructor(balancer: RoundRobin) {
    this.balancer = balancer;
    closers.push(
      () => this.workspace.remove(),
      () => balancer.stop(),
    );
  }

  static async open(): Promise<Place> {
    return new Place(await RoundRobin.start());
  }

  async server(implementation: Implementation): Promise<ProxyServer> {
    const frontend = { protocol: "grpc", transport: "tcp" } as const;
    const server = await startServer({ implementation, workspace: this.workspace, frontend });
    closers.push(() => server.stop());
    this.balancer.targets = [server.agentPort];
    return server;
  }

  async agent(): Promise<ProxyProcess> {
    const { workspace, balancer } = this;
    const agent = await startAgent({
      implementation: "hawser",
      workspace,
      agentPort: balancer.port,
      agentId: "agent-0",
    });
    closers.push(() => agent.stop());
    return agent;
  }

  /** Puts a connection through the server. */
  async carries(server: ProxyServer): Promise<void> {
    const echo = await echoEndpoint();
    const session = await frontendSession({ server, workspace: this.workspace });
    try {
      const connection = await dialGrpc(session, echo.address);
      connection.write("hello");
      expect((await readBytes(connection, 5)).toString()).toBe("hello");
    } finally {
      await session.close();
      await echo.close();
    }
  }
}

const lanes = async (agent: ProxyProcess) => (await agent.metrics()).sum("hawser_agent_lanes") ?? 0;

describe.each(["reference-v0.36.0", "reference-v0.30.3"] as const)("a server of %s", (reference) => {
  test("is linked to as its own agents do, on the first connection and without a complaint", async () => {
    const place = await Place.open();
    const server = await place.server(reference);
    const from = server.stderr.length;
    const agent = await place.agent();
    await place.carries(server);
    expect(place.balancer.joinedCount).toBe(1);
    expect(await lanes(agent)).toBe(0);
    const said = agent.stderr.filter((line) => !/proxy-agent starts|--probe-interval has no effect/.test(line));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain("linked to server");
    // klog's lines of warnings and errors begin so.
    expect(server.stderr.slice(from).filter((line) => /^[WEF]\d{4} /.test(line))).toEqual([]);
  });

  test("that is upgraded to Hawser gets lanes with the agent's next connection, and loses them with the way back", async () => {
    const place = await Place.open();
    const implementations = [reference, "hawser", reference, "hawser"] as const;
    let server = await place.server(reference);
    const agent = await place.agent();
    for (const [index, implementation] of implementations.entries()) {
      if (index > 0) {
        await server.stop();
        server = await place.server(implementation);
      }
      const describe = () => `${server.describe()}\n${agent.describe()}`;
      await until("the agent's link", async () => (await readyAgents(server, implementation)) === 1, {
        withinMs: 20_000,
        describe,
      });
      await place.carries(server);
      expect((await lanes(agent)) > 0).toBe(implementation === "hawser");
    }
    expect(agent.stderr.filter((line) => line.includes("server took no lanes"))).toEqual([]);
  });
});

import {
  type FrontendKind,
  here,
  type Implementation,
  type Place,
  type ProxyProcess,
  type ProxyServer,
  readyAgents,
  type ServerStart,
  startAgent,
  startServer,
} from "./processes.ts";
import { until } from "./until.ts";
import { Workspace } from "./workspace.ts";

export interface TunnelStart {
  readonly server: Implementation;
  readonly agent: Implementation;
  readonly frontend: FrontendKind;
  /** 1 if left out. They are called agent-0, agent-1, ... */
  readonly agentCount?: number;
  readonly serverFlags?: readonly string[];
  readonly agentFlags?: readonly string[];
  /** Where its processes run; here if left out. */
  readonly places?: { readonly server: Place; readonly agent: Place };
  /** Of all its processes, beside the environment of the tests. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What of a tunnel its clients need. */
export type TunnelFront = Pick<Tunnel, "server" | "kind" | "workspace" | "describe">;

/** A server with its agents, each a process of its own, and the folder that they use. */
export class Tunnel {
  readonly workspace: Workspace;
  readonly kind: FrontendKind;
  readonly serverImplementation: Implementation;
  readonly agents: ProxyProcess[] = [];
  readonly #start: TunnelStart;
  #server: ProxyServer;
  #agentsStarted = 0;

  private constructor(start: TunnelStart, workspace: Workspace, server: ProxyServer) {
    this.#start = start;
    this.kind = start.frontend;
    this.serverImplementation = start.server;
    this.workspace = workspace;
    this.#server = server;
  }

  get server(): ProxyServer {
    return this.#server;
  }

  /** Resolves when the server counts every agent as ready. Leaves nothing behind if that fails. */
  static async start(start: TunnelStart): Promise<Tunnel> {
    const place = start.places?.server ?? here;
    const workspace = new Workspace(place === here ? [] : [place.host]);
    const server = await startServer(serverOf(start, workspace)).catch((error) => {
      workspace.remove();
      throw error;
    });
    const tunnel = new Tunnel(start, workspace, server);
    try {
      for (let index = 0; index < (start.agentCount ?? 1); index++) await tunnel.addAgent();
      return tunnel;
    } catch (error) {
      await tunnel.stop();
      throw error;
    }
  }

  /** Starts one more agent, under `agentId` if given and where the others are unless told; resolves when the server counts it as ready. */
  async addAgent(
    agentId = `agent-${this.#agentsStarted}`,
    place = this.#start.places?.agent ?? here,
  ): Promise<ProxyProcess> {
    this.#agentsStarted += 1;
    const { agent: implementation, agentFlags: flags = [], env = {} } = this.#start;
    const { agentHost, agentPort } = this.server;
    const { workspace } = this;
    const agent = await startAgent({ implementation, place, env, workspace, agentHost, agentPort, agentId, flags });
    this.agents.push(agent);
    await this.serverCounts(this.agents.length);
    return agent;
  }

  /** Ends an agent with SIGKILL, without waiting for what the server makes of it, and forgets it. */
  killAgent(agent: ProxyProcess): void {
    this.agents.splice(this.agents.indexOf(agent), 1);
    agent.kill("SIGKILL");
  }

  /** Ends the server with SIGKILL; resolves when it is gone, without waiting for what its agents make of it. */
  async killServer(): Promise<void> {
    this.server.kill("SIGKILL");
    await this.server.exited;
  }

  /** Starts a server anew where the one that is gone was; resolves when it counts every agent as ready. */
  async restartServer(): Promise<void> {
    const { agentPort } = this.server;
    this.#server = await startServer({ ...serverOf(this.#start, this.workspace), agentPort });
    await this.serverCounts(this.agents.length);
  }

  /** Resolves when exactly so many agents are ready at the server. */
  async serverCounts(agentCount: number): Promise<void> {
    const count = () => readyAgents(this.server, this.serverImplementation);
    await until(
      `${this.server.name}: ${agentCount} agents ready`,
      async () => (await count()) === agentCount,
      this.server.withinStart(),
    );
  }

  /** The last log lines of all its processes. */
  describe(): string {
    return [this.server, ...this.agents].map((child) => child.describe()).join("\n");
  }

  /** Stops every process and removes the folder. */
  async stop(): Promise<void> {
    await Promise.all([...this.agents, this.server].map((child) => child.stop()));
    this.workspace.remove();
  }
}

function serverOf(start: TunnelStart, workspace: Workspace): ServerStart {
  const { server: implementation, frontend, serverFlags: flags = [], env = {} } = start;
  return { implementation, place: start.places?.server ?? here, env, workspace, frontend, flags };
}

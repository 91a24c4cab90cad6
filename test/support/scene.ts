import type { Endpoint } from "./endpoints.ts";
import {
  dialGrpc,
  type FrontendSocketOptions,
  frontendSession,
  frontendSocket,
  type GrpcConnection,
} from "./frontend-client.ts";
import { type FrontendKind, here, type Place } from "./processes.ts";
import { agentSocket, linkRawAgent, type RawAgent, type RawAgentOptions } from "./raw-agent.ts";
import { RawSession } from "./raw-grpc.ts";
import { type FrontendProtocol, type OpenConnection, openConnection, RunningTransfers } from "./transfers.ts";
import { Tunnel } from "./tunnel.ts";
import { until } from "./until.ts";

export interface SceneStart {
  readonly frontend?: FrontendKind;
  readonly agentCount?: number;
  readonly serverFlags?: readonly string[];
  readonly agentFlags?: readonly string[];
  /** Where its agents run; here if left out. */
  readonly agentPlace?: Place;
}

const grpcOverUds: FrontendKind = { protocol: "grpc", transport: "uds" };

/**
 * A tunnel of two Hawser halves for the tests of one file, and what a test opens on it. Its agents serve every destination
 * that no raw agent has taken.
 */
export class Scene {
  readonly tunnel: Tunnel;
  #transfers: RunningTransfers | undefined;
  readonly #closers: (() => unknown)[] = [];

  private constructor(tunnel: Tunnel) {
    this.tunnel = tunnel;
  }

  static async start({
    frontend = grpcOverUds,
    agentCount = 1,
    serverFlags = [],
    agentFlags = [],
    agentPlace = here,
  }: SceneStart = {}): Promise<Scene> {
    return new Scene(
      await Tunnel.start({
        server: "hawser",
        agent: "hawser",
        frontend,
        agentCount,
        places: { server: here, agent: agentPlace },
        serverFlags: ["--proxy-strategies=destHost,default", ...serverFlags],
        agentFlags: ["--agent-identifiers=ipv4=127.0.0.1&ipv6=::1&host=localhost", ...agentFlags],
      }),
    );
  }

  /** `settle()` closes it. */
  async socket(options?: FrontendSocketOptions) {
    const socket = await frontendSocket(this.tunnel, options);
    socket.on("error", () => {});
    this.#closers.push(() => socket.destroy());
    return socket;
  }

  async session(): Promise<RawSession> {
    return this.#own(await frontendSession(this.tunnel));
  }

  async dialGrpc(address: string): Promise<GrpcConnection> {
    return dialGrpc(await this.session(), address);
  }

  async connection(address: string, protocol?: FrontendProtocol): Promise<OpenConnection> {
    return this.#own(await openConnection(this.tunnel, address, protocol));
  }

  async endpoint(starting: Promise<Endpoint>): Promise<Endpoint> {
    return this.#own(await starting);
  }

  /** A raw HTTP/2 connection to the agent port. */
  async agentSession(): Promise<RawSession> {
    return this.#own(new RawSession(await agentSocket(this.tunnel)));
  }

  async rawAgent(options?: RawAgentOptions): Promise<RawAgent> {
    const agent = await linkRawAgent(this.tunnel, options);
    this.#own(agent.session);
    return agent;
  }

  /** Starts transfers that run beside all that follows; `settle()` sees them move and `stop()` that each byte arrived. */
  async startTransfers(): Promise<void> {
    this.#transfers = await RunningTransfers.start(this.tunnel);
  }

  /** Ends the transfers; rejects unless each byte arrived. */
  async finishTransfers(): Promise<void> {
    const transfers = this.#transfers;
    this.#transfers = undefined;
    await transfers?.finish();
  }

  /**
   * Closes what the test has opened; resolves when both halves are alive and hold nothing any more but the transfers beside,
   * and these move on.
   */
  async settle(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
    await this.idle();
    await this.#transfers?.progress();
  }

  /** Resolves when no half has a dial, a connection or a client left, but for the transfers beside. */
  async idle(): Promise<void> {
    const { server, agents } = this.tunnel;
    const beside = this.#transfers?.connectionCount ?? 0;
    let last = {};
    const empty = async () => {
      const page = await server.metrics();
      const sum = (name: string, labels = {}) => page.sum(`konnectivity_network_proxy_server_${name}`, labels) ?? 0;
      const open = await Promise.all(agents.map((agent) => agent.metric("open_endpoint_connections")));
      const surplus = {
        pending: sum("pending_backend_dials"),
        established: sum("established_connections") - beside,
        clients: sum("grpc_connections", { service_method: "Proxy" }) + sum("http_connections") - beside,
        agentStreams: sum("grpc_connections", { service_method: "Connect" }) - agents.length,
        endpointConnections: open.reduce((total, count) => total + count, 0) - beside,
      };
      last = surplus;
      return Object.values(surplus).every((count) => count === 0);
    };
    const describe = () => `${JSON.stringify(last)}\n${this.tunnel.describe()}`;
    await until("nothing pending, established or open", empty, { withinMs: 10_000, signal: server.gone, describe });
    for (const child of [server, ...agents]) child.gone.throwIfAborted();
  }

  /** Ends the transfers beside, sees that nothing is left, and stops the tunnel. */
  async stop(): Promise<void> {
    try {
      await this.finishTransfers();
      await this.settle();
    } finally {
      await this.tunnel.stop();
    }
  }

  /** Stops the tunnel and closes what the test has opened, whatever is left: for a test that has failed, or has seen all it wants. */
  async discard(): Promise<void> {
    await this.tunnel.stop();
    for (const close of this.#closers.splice(0)) await close();
  }

  #own<T extends { close(): unknown }>(resource: T): T {
    this.#closers.push(() => resource.close());
    return resource;
  }
}

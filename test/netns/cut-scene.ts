import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Endpoint, echoEndpoint, serve } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import type { Implementation, ProxyProcess } from "../support/processes.ts";
import { seededBytes } from "../support/seeded-bytes.ts";
import { type FrontendProtocol, type OpenConnection, openConnection } from "../support/transfers.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { SplitNetwork } from "./split-network.ts";

/** Twice the window of a stream, so that whoever sends has waited for the other end. */
const bulkUnderWayBytes = 2 * 1024 * 1024;
const bulkWithinMs = 60_000;
/** That what was sent is acknowledged, on a network that works. */
const acknowledgedWithinMs = 5_000;

export interface CutSceneStart {
  readonly server: Implementation;
  readonly agent: Implementation;
  /** Hawser's own link, which needs Hawser at both ends, or the reference's. */
  readonly link: "lanes" | "packets";
  /** gRPC if left out. */
  readonly protocol?: FrontendProtocol;
  readonly serverFlags?: readonly string[];
  /** `endpointHost` stands for the address of the endpoints. */
  readonly agentFlags?: (endpointHost: string) => readonly string[];
}

/** A server and an agent, each in a namespace of its own, and endpoints that the agent reaches. */
export class CutScene {
  readonly network: SplitNetwork;
  readonly tunnel: Tunnel;
  readonly #endpoints: Endpoint[] = [];
  readonly #connections: OpenConnection[] = [];

  private constructor(network: SplitNetwork, tunnel: Tunnel) {
    this.network = network;
    this.tunnel = tunnel;
  }

  static async start(start: CutSceneStart): Promise<CutScene> {
    const { server, agent, link, protocol = "grpc", serverFlags = [], agentFlags } = start;
    const linkFlags = agent === "hawser" && link === "packets" ? ["--link-protocol=konnectivity"] : [];
    const network = await SplitNetwork.create();
    try {
      const tunnel = await Tunnel.start({
        server,
        agent,
        frontend: { protocol, transport: "uds" },
        places: network,
        serverFlags,
        agentFlags: [...linkFlags, ...(agentFlags?.(network.endpointHost) ?? [])],
      });
      return new CutScene(network, tunnel);
    } catch (error) {
      await network.remove();
      throw error;
    }
  }

  get agent(): ProxyProcess {
    const [agent] = this.tunnel.agents;
    if (agent === undefined) throw new Error("the agent was to start");
    return agent;
  }

  async echo(): Promise<Endpoint> {
    return this.#keep(await echoEndpoint(this.network.endpointHost));
  }

  /**
   * Resolves when neither half has sent anything that the other has not acknowledged: TCP's own keepalive, which may notice a
   * cut before we do, works in that state only.
   */
  async idle(): Promise<void> {
    const halves = [this.tunnel.server, this.agent];
    await until("everything sent is acknowledged", () => halves.every((half) => unacknowledgedBytes(half.pid) === 0), {
      withinMs: acknowledgedWithinMs,
      describe: () => this.tunnel.describe(),
    });
  }

  /** Resolves to the client's end of a connection that has carried bytes both ways and carries nothing more. */
  async openIdle(echo: Endpoint): Promise<OpenConnection> {
    const connection = await openConnection(this.tunnel, echo.address);
    this.#connections.push(connection);
    connection.duplex.write("hello");
    const answer = await readBytes(connection.duplex, 5);
    if (String(answer) !== "hello") throw new Error(`the echo of hello was ${JSON.stringify(String(answer))}`);
    // Read on, so that its end is seen.
    connection.duplex.resume();
    return connection;
  }

  /** Resolves to the client's end of a connection in the middle of endless bytes both ways. */
  async openBusy(): Promise<OpenConnection> {
    const arrived = { up: 0, down: 0 };
    const endpoint = await serve(async (socket) => {
      socket.on("data", (chunk: Buffer) => {
        arrived.up += chunk.length;
      });
      await pipeline(Readable.from(seededBytes(1, Number.POSITIVE_INFINITY)), socket);
    }, this.network.endpointHost);
    this.#keep(endpoint);
    const open = async () => {
      Object.assign(arrived, { up: 0, down: 0 });
      const connection = await openConnection(this.tunnel, endpoint.address);
      this.#connections.push(connection);
      connection.duplex.on("data", (chunk: Buffer) => {
        arrived.down += chunk.length;
      });
      // It ends with the connection, whose end is what the test looks at.
      pipeline(Readable.from(seededBytes(2, Number.POSITIVE_INFINITY)), connection.duplex).catch(() => {});
      return connection;
    };
    let connection = await open();
    const flows = async () => {
      // On the reference's link a reader here that gets no processor for 2 s is reset for the sake of its neighbours.
      if (connection.duplex.destroyed || connection.duplex.readableEnded) connection = await open();
      return Math.min(arrived.up, arrived.down) >= bulkUnderWayBytes;
    };
    await until("bulk both ways", flows, {
      withinMs: bulkWithinMs,
      describe: () => `${JSON.stringify(arrived)}\n${this.tunnel.describe()}`,
    });
    return connection;
  }

  /** Resolves when no endpoint has a connection any more. */
  async endpointsQuiet(withinMs: number): Promise<void> {
    const open = () => this.#endpoints.reduce((sum, { openCount }) => sum + openCount, 0);
    await until("the agent's connections to endpoints end", () => open() === 0, {
      withinMs,
      describe: () => `${open()} are left\n${this.tunnel.describe()}`,
    });
  }

  /**
   * Resolves when the process has logged a line with this text for the `count`th time, as far as its newest lines tell, to the time that
   * stands in it: the process's own, however late this one reads it.
   */
  async logged(child: ProxyProcess, text: string, count: number, withinMs: number): Promise<number> {
    const lines = () => child.stderr.filter((line) => line.includes(text));
    const line = await until(`${child.name}: ${text}`, () => lines()[count - 1], {
      withinMs,
      signal: child.gone,
      describe: () => child.describe(),
    });
    return timeOf(line);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.close()));
    await this.tunnel.stop();
    await this.network.remove();
  }

  #keep(endpoint: Endpoint): Endpoint {
    this.#endpoints.push(endpoint);
    return endpoint;
  }
}

/** When its process says that it logged this line, in milliseconds on the clock of this machine. NaN for a reference's, whose lines bear no date. */
function timeOf(line: string): number {
  return Date.parse(/\d{4}-\d{2}-\d{2}T[\d:.]+Z/.exec(line)?.[0] ?? "");
}

/** What the kernel has yet to send, and to send again, over all TCP connections in the namespace of this process. */
function unacknowledgedBytes(pid: number): number {
  const [, ...rows] = readFileSync(`/proc/${pid}/net/tcp`, "utf8").trim().split("\n");
  // Number, local and remote address, state, then the queues as "sending:receiving". All hexadecimal. Source: proc_pid_net(5)
  const queues = rows.map((row) => row.trim().split(/\s+/)[4]?.split(":")[0] ?? "0");
  return queues.reduce((sum, queue) => sum + Number.parseInt(queue, 16), 0);
}

/** Resolves when the connection is closed, in order or by a reset, as its client sees it. */
export async function closed({ duplex }: OpenConnection): Promise<void> {
  if (duplex.destroyed || duplex.readableEnded) return;
  await new Promise<void>((resolve) => {
    for (const event of ["close", "end", "error"]) duplex.once(event, () => resolve());
  });
}

import { get } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { buildGo } from "./go.ts";
import { type Command, ManagedProcess } from "./managed-process.ts";
import { MetricsPage } from "./metrics-page.ts";
import { freePort } from "./ports.ts";
import { repositoryRoot } from "./repository-root.ts";
import { until } from "./until.ts";
import type { Workspace } from "./workspace.ts";

/** The versions whose server and agent can be built as Go modules, oldest first. Others are not served by the module proxy */
export const referenceVersions = ["v0.30.3", "v0.34.0", "v0.36.0"] as const;

export type Reference = `reference-${(typeof referenceVersions)[number]}`;
export type Implementation = "hawser" | Reference;

export interface FrontendKind {
  readonly protocol: "grpc" | "connect";
  readonly transport: "uds" | "tcp";
}

/** Where a frontend is reached; over TCP with the workspace's client certificate. */
export type FrontendAddress =
  | { readonly transport: "uds"; readonly path: string }
  | { readonly transport: "tcp"; readonly host: string; readonly port: number };

/** Where a half runs. */
export interface Place {
  /** The server listens for agents here. */
  readonly host: string;
  /** Where the tests reach its pages. */
  readonly statusHost: string;
  /** What to execute so that the command runs there. */
  readonly command: (command: Command) => Command;
}

const loopback = "127.0.0.1";

/** Beside the tests. */
export const here: Place = { host: loopback, statusHost: loopback, command: (command) => command };

export interface ServerStart {
  readonly implementation: Implementation;
  /** `here` if left out. */
  readonly place?: Place;
  readonly env?: Readonly<Record<string, string>>;
  readonly workspace: Workspace;
  readonly frontend: FrontendKind;
  /** Of its Unix socket in the workspace; `proxy.sock` if left out. */
  readonly socketName?: string;
  /** Where it listens for agents; any free port if left out. */
  readonly agentPort?: number;
  /** More flags; they come last and so win. */
  readonly flags?: readonly string[];
}

export interface AgentStart {
  readonly implementation: Implementation;
  /** `here` if left out. */
  readonly place?: Place;
  readonly env?: Readonly<Record<string, string>>;
  readonly workspace: Workspace;
  /** Of the server; the loopback if left out. */
  readonly agentHost?: string;
  readonly agentPort: number;
  readonly agentId: string;
  readonly flags?: readonly string[];
  /** The page that answers 200 when it has started; `/readyz`, which waits for a link, if left out. */
  readonly startedAt?: "/healthz" | "/readyz";
}

/** Many times what it takes: one that ends instead is noticed at once, and a machine may have little time for it. */
const startWithinMs = 40_000;

/** Where a half answers about itself. */
interface StatusAddress {
  readonly host: string;
  readonly health: number;
  /** The same but for v0.30.3, whose server has its metrics on the admin listener. */
  readonly metrics: number;
}

/** A running proxy-server or proxy-agent with its health listener. */
export class ProxyProcess extends ManagedProcess {
  readonly #status: StatusAddress;
  readonly #metricPrefix: string;

  constructor(half: "server" | "agent", name: string, command: Command, status: StatusAddress) {
    super(name, command);
    this.#status = status;
    this.#metricPrefix = `konnectivity_network_proxy_${half}_`;
  }

  async metrics(): Promise<MetricsPage> {
    const { status, body } = await this.#get(this.#status.metrics, "/metrics");
    if (status !== 200) throw new Error(`${this.name}: /metrics answered ${status}`);
    return new MetricsPage(body);
  }

  /** Scrapes one family of this half, named without its prefix; samples that are not there count as 0. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return (await this.metrics()).sum(this.#metricPrefix + name, labels) ?? 0;
  }

  /** Resolves as soon as the path answers 200; rejects with the captured log after 40 s or when the process ends. */
  async answersOk(path: string): Promise<void> {
    await until(`${this.name}: 200 on ${path}`, async () => (await this.get(path)).status === 200, this.withinStart());
  }

  withinStart() {
    return { withinMs: startWithinMs, signal: this.gone, describe: () => this.describe() };
  }

  get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return this.#get(this.#status.health, path);
  }

  /** Each request has a connection of its own, so that none stays open in the counted descriptors. */
  #get(port: number, path: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const request = get({ host: this.#status.host, port, path, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          body += text;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
        response.on("error", reject);
      });
      request.on("error", reject);
    });
  }
}

export class ProxyServer extends ProxyProcess {
  readonly frontend: FrontendAddress;
  readonly agentHost: string;
  readonly agentPort: number;

  constructor(
    name: string,
    command: Command,
    status: StatusAddress,
    listen: { readonly frontend: FrontendAddress; readonly agentHost: string; readonly agentPort: number },
  ) {
    super("server", name, command, status);
    this.agentHost = listen.agentHost;
    this.agentPort = listen.agentPort;
    this.frontend = listen.frontend;
  }
}

/** How many agents a server counts as ready. */
export function readyAgents(server: ProxyServer, implementation: Implementation): Promise<number> {
  return implementation === "reference-v0.30.3"
    ? server.metric("ready_backend_connections")
    : server.metric("ready_backends", { proxy_strategy: "default" });
}

/** Starts a proxy-server; resolves when it is healthy and its frontend accepts. It is not ready before an agent came. */
export async function startServer(start: ServerStart): Promise<ProxyServer> {
  const { workspace, implementation, place = here } = start;
  const { certificates } = workspace;
  const ports = { health: await freePort(), agent: start.agentPort ?? (await freePort()), admin: await freePort() };
  const frontend: FrontendAddress =
    start.frontend.transport === "uds"
      ? { transport: "uds", path: workspace.path(start.socketName ?? "proxy.sock") }
      : { transport: "tcp", host: place.host, port: await freePort() };
  const command = await commandOf(start, "server", [
    `--mode=${start.frontend.protocol === "grpc" ? "grpc" : "http-connect"}`,
    ...(frontend.transport === "uds"
      ? [`--uds-name=${frontend.path}`, "--server-port=0"]
      : [
          `--server-bind-address=${frontend.host}`,
          `--server-port=${frontend.port}`,
          `--server-ca-cert=${certificates.frontendCa}`,
          `--server-cert=${certificates.server.cert}`,
          `--server-key=${certificates.server.key}`,
        ]),
    `--agent-bind-address=${place.host}`,
    `--agent-port=${ports.agent}`,
    `--cluster-ca-cert=${certificates.agentCa}`,
    `--cluster-cert=${certificates.cluster.cert}`,
    `--cluster-key=${certificates.cluster.key}`,
    `--health-bind-address=${place.statusHost}`,
    `--health-port=${ports.health}`,
    `--admin-bind-address=${place.statusHost}`,
    `--admin-port=${ports.admin}`,
    ...(start.flags ?? []),
  ]);
  const metrics = implementation === "reference-v0.30.3" ? ports.admin : ports.health;
  const status = { host: place.statusHost, health: ports.health, metrics };
  const listen = { frontend, agentHost: place.host, agentPort: ports.agent };
  const server = new ProxyServer(`${implementation} server`, command, status, listen);
  return orStop(server, async () => {
    await server.answersOk("/healthz");
    await until(`${server.name}: frontend accepts`, () => accepts(frontend), server.withinStart());
  });
}

/** Starts a proxy-agent; resolves when it is connected to its server, unless told otherwise. */
export async function startAgent(start: AgentStart): Promise<ProxyProcess> {
  const { implementation, agentId, workspace, place = here, agentHost = loopback, startedAt = "/readyz" } = start;
  const healthPort = await freePort();
  const command = await commandOf(start, "agent", [
    `--proxy-server-host=${agentHost}`,
    `--proxy-server-port=${start.agentPort}`,
    `--ca-cert=${workspace.certificates.agentCa}`,
    `--agent-cert=${workspace.certificates.agent.cert}`,
    `--agent-key=${workspace.certificates.agent.key}`,
    `--agent-id=${agentId}`,
    "--sync-interval=100ms",
    "--sync-interval-cap=500ms",
    "--probe-interval=100ms",
    `--health-server-host=${place.statusHost}`,
    `--health-server-port=${healthPort}`,
    `--admin-bind-address=${place.statusHost}`,
    `--admin-server-port=${await freePort()}`,
    ...(start.flags ?? []),
  ]);
  const status = { host: place.statusHost, health: healthPort, metrics: healthPort };
  const agent = new ProxyProcess("agent", `${implementation} agent ${agentId}`, command, status);
  return orStop(agent, () => agent.answersOk(startedAt));
}

/** What to execute for a half of this implementation with these arguments. */
export async function commandOf(
  start: Pick<ServerStart, "implementation" | "place" | "env">,
  half: "server" | "agent",
  args: readonly string[],
): Promise<Command> {
  const { implementation, place = here, env = {} } = start;
  const command =
    implementation === "hawser"
      ? { file: process.execPath, args: [join(repositoryRoot, "dist", half, "bin.js"), ...args], env }
      : { file: await buildReference(implementation, half), args, env };
  return place.command(command);
}

/** Resolves to the path of the reference's binary. */
export function buildReference(reference: Reference, half: "server" | "agent"): Promise<string> {
  return buildGo({
    moduleDir: `test/interop/${reference}`,
    package: `sigs.k8s.io/apiserver-network-proxy/cmd/${half}`,
    out: `${reference}-proxy-${half}`,
  });
}

async function orStop<P extends ManagedProcess>(child: P, becomeReady: () => Promise<void>): Promise<P> {
  try {
    await becomeReady();
    return child;
  } catch (error) {
    await child.stop();
    throw error;
  }
}

function accepts(frontend: FrontendAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket =
      frontend.transport === "uds" ? connect(frontend.path) : connect({ host: frontend.host, port: frontend.port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

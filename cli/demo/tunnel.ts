import type { FrontendAddress } from "../client/frontend-address.ts";
import type { DemoCertificates } from "./certificates.ts";
import { Child } from "./child.ts";
import { FreePorts } from "./free-ports.ts";
import { Half } from "./half.ts";
import type { Programs } from "./programs.ts";

export const agentIds = ["1", "2"] as const;
export type AgentId = (typeof agentIds)[number];

const host = "127.0.0.1";

/** The processes of the demo. What has been started can be stopped at any moment. */
export class Tunnel {
  readonly certificates: DemoCertificates;
  readonly #programs: Programs;
  readonly #folder: string;
  readonly #ports = new FreePorts();
  readonly #children = new Set<Child>();
  readonly #agents = new Map<AgentId, Half>();
  #server: Half | undefined;
  #frontend: FrontendAddress | undefined;
  #agentPort = 0;
  #kubelet: { readonly address: string; readonly host: string; readonly child: Child } | undefined;

  constructor(start: {
    readonly programs: Programs;
    readonly folder: string;
    readonly certificates: DemoCertificates;
  }) {
    this.#programs = start.programs;
    this.#folder = start.folder;
    this.certificates = start.certificates;
  }

  get server(): Half {
    return started(this.#server, "server");
  }

  get frontend(): FrontendAddress {
    return started(this.#frontend, "server");
  }

  /** By id and in the order of ids: those that run. */
  get agents(): ReadonlyMap<AgentId, Half> {
    return new Map([...this.#agents].sort(([one], [other]) => one.localeCompare(other)));
  }

  /** What an agent is asked to dial. */
  get kubelet(): { readonly address: string; readonly host: string } {
    return started(this.#kubelet, "kubelet");
  }

  async startKubelet({ signal }: { readonly signal: AbortSignal }): Promise<Child> {
    const { path } = this.certificates;
    const child = this.#keep(new Child("kubelet", this.#programs.kubelet, [path("kubelet.crt"), path("kubelet.key")]));
    const port = await child.message({ signal });
    this.#kubelet = { address: `${host}:${port}`, host, child };
    return child;
  }

  /** Serves frontends by both protocols on one listener. Resolves when it listens. */
  async startServer(over: "uds" | "tcp", { signal }: { readonly signal: AbortSignal }): Promise<Half> {
    const { path } = this.certificates;
    const frontend = await this.#chooseFrontend(over);
    const healthPort = await this.#ports.next();
    this.#agentPort = await this.#ports.next();
    const args = [
      "--mode=auto",
      ...this.#frontendFlags(frontend),
      `--agent-bind-address=${host}`,
      `--agent-port=${this.#agentPort}`,
      `--cluster-cert=${path("cluster.crt")}`,
      `--cluster-key=${path("cluster.key")}`,
      `--cluster-ca-cert=${path("agent-ca.crt")}`,
      `--health-bind-address=${host}`,
      `--health-port=${healthPort}`,
      `--admin-bind-address=${host}`,
      `--admin-port=${await this.#ports.next()}`,
      "--log-format=text",
    ];
    const server = new Half("server", { name: "proxy server", script: this.#programs.server, args, healthPort });
    this.#keep(server.child);
    this.#server = server;
    this.#frontend = frontend;
    await server.answersOk("/healthz", { signal });
    return server;
  }

  /** Resolves when it is linked to the server. */
  async startAgent(id: AgentId, { signal }: { readonly signal: AbortSignal }): Promise<Half> {
    const { path } = this.certificates;
    const name = `agent-${id}`;
    const healthPort = await this.#ports.next();
    const args = [
      `--agent-id=${name}`,
      `--proxy-server-host=${host}`,
      `--proxy-server-port=${this.#agentPort}`,
      `--ca-cert=${path("agent-ca.crt")}`,
      `--agent-cert=${path(`${name}.crt`)}`,
      `--agent-key=${path(`${name}.key`)}`,
      `--health-server-host=${host}`,
      `--health-server-port=${healthPort}`,
      `--admin-bind-address=${host}`,
      `--admin-server-port=${await this.#ports.next()}`,
      "--log-format=text",
    ];
    const agent = new Half("agent", { name, script: this.#programs.agent, args, healthPort });
    this.#keep(agent.child);
    this.#agents.set(id, agent);
    await agent.answersOk("/readyz", { signal });
    return agent;
  }

  /** Ends an agent as a crash would, without waiting for its end. */
  killAgent(id: AgentId): void {
    const agent = this.#agents.get(id);
    if (agent === undefined) throw new TypeError(`agent ${id} does not run`);
    this.#agents.delete(id);
    this.#children.delete(agent.child);
    void agent.child.kill();
  }

  /** Resolves as soon as one of the processes has ended, with a sentence that says which and how. */
  firstEnd(): Promise<string> {
    return Promise.race([...this.#children].map((child) => child.ended));
  }

  /** The last log lines of every process, by its name. */
  logs(lineCount: number): readonly { readonly name: string; readonly lines: readonly string[] }[] {
    return [...this.#children].map((child) => ({ name: child.name, lines: child.lastLines(lineCount) }));
  }

  /** Ends all processes. */
  async stop(): Promise<void> {
    await Promise.all([...this.#children].map((child) => child.kill()));
  }

  #keep(child: Child): Child {
    this.#children.add(child);
    return child;
  }

  async #chooseFrontend(over: "uds" | "tcp"): Promise<FrontendAddress> {
    if (over === "uds") return { kind: "uds", path: `${this.#folder}/proxy.sock` };
    const { read } = this.certificates;
    const tls = { ca: read("frontend-ca.crt"), cert: read("client.crt"), key: read("client.key") };
    return { kind: "tcp", host, port: await this.#ports.next(), tls };
  }

  #frontendFlags(frontend: FrontendAddress): readonly string[] {
    if (frontend.kind === "uds") return [`--uds-name=${frontend.path}`, "--server-port=0"];
    const { path } = this.certificates;
    return [
      `--server-bind-address=${frontend.host}`,
      `--server-port=${frontend.port}`,
      `--server-cert=${path("server.crt")}`,
      `--server-key=${path("server.key")}`,
      `--server-ca-cert=${path("frontend-ca.crt")}`,
    ];
  }
}

function started<T>(part: T | undefined, name: string): T {
  if (part === undefined) throw new TypeError(`the ${name} has not been started`);
  return part;
}

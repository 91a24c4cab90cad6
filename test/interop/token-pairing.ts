import { rmSync, writeFileSync } from "node:fs";
import { agentToken } from "../support/konnectivity-accounts.ts";
import type { KubeApi } from "../support/kube-api.ts";
import { type Implementation, type ProxyProcess, type ProxyServer, startAgent } from "../support/processes.ts";
import { Relay } from "../support/relay.ts";
import { startTokenServer } from "../support/token-server.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";

export interface TokenPairingStart {
  readonly api: KubeApi;
  readonly server: Implementation;
  readonly agent: Implementation;
  /** Of the server's user. */
  readonly kubeconfig: string;
}

/** A server that asks a real kube-apiserver about tokens, and an agent that has one in a file. */
export class TokenPairing {
  readonly server: ProxyServer;
  readonly workspace: Workspace;
  readonly #api: KubeApi;
  readonly #agentImplementation: Implementation;
  readonly #relay: Relay;
  #agent: ProxyProcess | undefined;

  private constructor(
    { api, agent }: TokenPairingStart,
    started: { readonly workspace: Workspace; readonly server: ProxyServer; readonly relay: Relay },
  ) {
    this.#api = api;
    this.#agentImplementation = agent;
    this.workspace = started.workspace;
    this.server = started.server;
    this.#relay = started.relay;
  }

  /** Starts the server alone. */
  static async start(options: TokenPairingStart): Promise<TokenPairing> {
    const workspace = new Workspace();
    try {
      const server = await startTokenServer(workspace, options.kubeconfig, options.server);
      return new TokenPairing(options, { workspace, server, relay: await Relay.start(server.agentPort) });
    } catch (error) {
      workspace.remove();
      throw error;
    }
  }

  get agent(): ProxyProcess {
    if (this.#agent === undefined) throw new Error("startAgent comes first");
    return this.#agent;
  }

  /** Resolves when it runs, and not when it is linked, which it may never be. */
  async startAgent(): Promise<void> {
    this.#agent = await startAgent({
      implementation: this.#agentImplementation,
      workspace: this.workspace,
      agentPort: this.#relay.port,
      agentId: "agent",
      startedAt: "/healthz",
      flags: [
        "--agent-cert=",
        "--agent-key=",
        `--service-account-token-path=${this.#tokenFile}`,
        // Each failed attempt is in our log then; a reference agent would fill its own with stacks.
        ...(this.#agentImplementation === "hawser" ? ["-v=5"] : []),
      ],
    });
  }

  /** Without white space around it, which reference agents would send. */
  writeToken(token: string): void {
    writeFileSync(this.#tokenFile, token);
  }

  removeTokenFile(): void {
    rmSync(this.#tokenFile);
  }

  /** Writes a new token of the right account and resolves when it has let the agent in. */
  async admit(boundTo?: { readonly kind: "Pod" | "Node"; readonly name: string }): Promise<void> {
    this.writeToken(await agentToken(this.#api, boundTo && { boundTo }));
    await this.linked();
  }

  /** Drops the link and resolves when there is one again. */
  async reconnected(): Promise<void> {
    const before = this.#relay.acceptedCount;
    this.#relay.cut();
    await this.#until("a new connection", () => this.#relay.acceptedCount > before);
    await this.linked();
  }

  async linked(): Promise<void> {
    await this.agent.answersOk("/readyz");
    await this.#until("1 agent linked", async () => (await this.linkCount()) === 1);
  }

  /** How many agents the server has. */
  linkCount(): Promise<number> {
    return this.server.metric("ready_backends", { proxy_strategy: "default" });
  }

  /** Drops the link and resolves when neither half has it any more. */
  async cut(): Promise<void> {
    this.#relay.cut();
    await this.#until("no agent linked", async () => (await this.linkCount()) === 0);
  }

  /** Resolves when the agent's first so many attempts are over: it has begun another. */
  async tried(times: number): Promise<void> {
    await this.#until(`${times} attempts`, () => this.#relay.acceptedCount > times);
  }

  /** Resolves when the process has logged `text` so many times since the line `from`. */
  async logged(half: "server" | "agent", text: string, options: { from: number; times: number }): Promise<void> {
    await this.#until(`${options.times} lines of the ${half} with ${JSON.stringify(text)}`, () => {
      const lines = this[half].stderr.slice(options.from);
      return lines.filter((line) => unescaped(line).includes(text)).length >= options.times;
    });
  }

  async stop(): Promise<void> {
    await this.#agent?.stop();
    await this.#relay.stop();
    await this.server.stop();
    this.workspace.remove();
  }

  get #tokenFile(): string {
    return this.workspace.path("agent-token");
  }

  async #until(what: string, read: () => boolean | Promise<boolean>): Promise<void> {
    const describe = () => `${this.server.describe()}\n${this.#agent?.describe()}`;
    await until(what, read, { withinMs: 20_000, signal: this.server.gone, describe });
  }
}

/** Both halves' logs put a backslash before a quotation mark. */
const unescaped = (line: string): string => line.replaceAll("\\", "");

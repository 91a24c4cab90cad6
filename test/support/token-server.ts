import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { type ApiAnswer, type ApiCall, FakeKubeApi, reviewAnswer } from "./fake-kube-api.ts";
import { type Implementation, type ProxyServer, startServer } from "./processes.ts";
import { RawSession, type RawStream } from "./raw-grpc.ts";
import { Workspace } from "./workspace.ts";

export const audience = "system:konnectivity-server";
export const agentAccount = "system:serviceaccount:kube-system:konnectivity-agent";

/** The status of a TokenReview that says yes. */
export const accepted = (username = agentAccount, extra: Readonly<Record<string, unknown>> = {}) => ({
  authenticated: true,
  audiences: [audience],
  user: { username, extra },
});

export interface RawAgentCall {
  readonly session: RawSession;
  readonly stream: RawStream;
}

/** A server that checks tokens, and the API that it asks about them. */
export class TokenServer {
  readonly api: FakeKubeApi;
  readonly workspace: Workspace;
  readonly server: ProxyServer;
  /** The status of the review of each token; of any other one that it is not valid. */
  readonly tokens = new Map<string, Readonly<Record<string, unknown>>>();
  readonly #sessions: RawSession[] = [];

  private constructor(api: FakeKubeApi, workspace: Workspace, server: ProxyServer) {
    this.api = api;
    this.workspace = workspace;
    this.server = server;
    this.answerReviews();
  }

  /** Leaves nothing behind if it fails. */
  static async start(flags: readonly string[] = []): Promise<TokenServer> {
    const api = await FakeKubeApi.start();
    const workspace = new Workspace();
    try {
      const kubeconfig = workspace.path("kubeconfig");
      writeFileSync(kubeconfig, api.kubeconfig());
      return new TokenServer(api, workspace, await startTokenServer(workspace, kubeconfig, "hawser", flags));
    } catch (error) {
      await api.close();
      workspace.remove();
      throw error;
    }
  }

  /** Answers reviews by `tokens`, as it does from the start. */
  answerReviews(): void {
    this.api.script = (call) => this.review(call);
  }

  review(call: ApiCall): ApiAnswer {
    return reviewAnswer(this.tokens.get(tokenOf(call)) ?? { authenticated: false, error: "invalid bearer token" });
  }

  /** How often this token was reviewed. */
  reviewsOf(token: string): number {
    return this.api.calls.filter((call) => tokenOf(call) === token).length;
  }

  /** Calls the server as an agent that has no certificate and, if one is given, this `authorization`. */
  async connect(agentId: string, authorization?: string, identifiers = ""): Promise<RawAgentCall> {
    const call = await callAsAgent(this, agentId, authorization, identifiers);
    this.#sessions.push(call.session);
    return call;
  }

  /** How many agents are linked. */
  linked(): Promise<number> {
    return this.server.metric("ready_backends", { proxy_strategy: "default" });
  }

  /** Drops the connections that tests have opened. */
  async hangUp(): Promise<void> {
    await Promise.all(this.#sessions.splice(0).map((session) => session.close()));
  }

  async stop(): Promise<void> {
    await this.hangUp();
    await this.server.stop();
    await this.api.close();
    this.workspace.remove();
  }
}

/** Calls a server as an agent that has no certificate. Close the session. */
export async function callAsAgent(
  { workspace, server }: { readonly workspace: Workspace; readonly server: ProxyServer },
  agentId: string,
  authorization?: string,
  identifiers = "",
): Promise<RawAgentCall> {
  const ca = readFileSync(workspace.certificates.agentCa);
  const socket = connect({ host: "127.0.0.1", port: server.agentPort, ca, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  const session = new RawSession(socket);
  const headers = {
    agentid: agentId,
    agentidentifiers: identifiers,
    ...(authorization === undefined ? {} : { authorization }),
  };
  return { session, stream: session.open("/AgentService/Connect", headers) };
}

/** Starts a server that admits agents by their tokens and finds the API by this kubeconfig. */
export function startTokenServer(
  workspace: Workspace,
  kubeconfig: string,
  implementation: Implementation = "hawser",
  flags: readonly string[] = [],
): Promise<ProxyServer> {
  return startServer({
    implementation,
    workspace,
    frontend: { protocol: "grpc", transport: "uds" },
    flags: [
      "--cluster-ca-cert=",
      "--agent-namespace=kube-system",
      "--agent-service-account=konnectivity-agent",
      `--authentication-audience=${audience}`,
      `--kubeconfig=${kubeconfig}`,
      ...flags,
    ],
  });
}

function tokenOf(call: ApiCall): string {
  return (call.body as { readonly spec: { readonly token: string } }).spec.token;
}

import { TLSSocket } from "node:tls";
import { ProxyError } from "../../shared/errors.ts";
import type { GrpcServerCall } from "../../shared/grpc/stream.ts";
import type { parseAgentMetadata } from "../../shared/konnectivity/agent-headers.ts";
import type { AgentIdentifiers } from "../../shared/konnectivity/agent-identifiers.ts";
import { peerIdentity } from "../../shared/tls/identity.ts";
import { bearerToken } from "../authentication/bearer-token.ts";
import { type AgentProof, unprovenIdentifier } from "../authentication/identifier-policy.ts";
import type { TokenAuthenticator } from "../authentication/token-authenticator.ts";
import type { ServerMetrics } from "../metrics.ts";
import type { ServerOptions } from "../options.ts";
import type { AgentIdentity } from "./link.ts";
import type { Registry } from "./registry.ts";

export interface AdmissionDeps {
  readonly metrics: ServerMetrics;
  readonly registry: Registry;
  /** Without one, agents need no token. */
  readonly authenticator: TokenAuthenticator | undefined;
}

export type AdmissionOptions = Pick<ServerOptions, "agentIdentifierPolicy" | "limits">;

/** What an agent says of itself. */
export type AgentClaims = ReturnType<typeof parseAgentMetadata>;

/** Decides which agents may link, whatever kind of link they ask for. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #options: AdmissionOptions;

  constructor(deps: AdmissionDeps, options: AdmissionOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Rejects with a GrpcError or a ProxyError. */
  async admit(call: GrpcServerCall, { agentId, identifiers }: AgentClaims): Promise<AgentIdentity> {
    this.#requireRoom();
    const proof = await this.#authenticate(call);
    // Others may have been admitted meanwhile.
    this.#requireRoom();
    this.#requireOwn(identifiers, proof);
    const userAgent = call.metadata.get("user-agent")?.[0];
    return {
      id: agentId,
      identifiers,
      subject: proof?.kind === "token" ? proof.account.username : proof?.identity.commonName,
      nodeName: proof?.kind === "token" ? proof.account.nodeName : undefined,
      peer: call.session.peer,
      userAgent: typeof userAgent === "string" ? userAgent : undefined,
    };
  }

  #requireRoom(): void {
    const { registry, metrics } = this.#deps;
    const { agentLinksMax } = this.#options.limits;
    if (registry.links.size < agentLinksMax) return;
    metrics.refused("links");
    throw new ProxyError("over_limit", `this server has ${agentLinksMax} agent links already`);
  }

  #requireOwn(identifiers: AgentIdentifiers, proof: AgentProof | undefined): void {
    if (this.#options.agentIdentifierPolicy === "any") return;
    const unproven = unprovenIdentifier(identifiers, proof);
    if (unproven === undefined) return;
    this.#deps.metrics.refused("identifiers");
    throw new ProxyError("denied", unproven);
  }

  /** Whose token it is, where tokens are checked; else whose certificate, if it has shown one. */
  async #authenticate(call: GrpcServerCall): Promise<AgentProof | undefined> {
    const { authenticator } = this.#deps;
    if (authenticator === undefined) {
      const { socket } = call.session;
      const identity = socket instanceof TLSSocket ? peerIdentity(socket) : undefined;
      return identity && { kind: "certificate", identity };
    }
    const gone = new AbortController();
    void call.closed.then(() => gone.abort(new ProxyError("cancelled", "the agent left before it was admitted")));
    const account = await authenticator.authenticate(bearerToken(call.metadata), { signal: gone.signal });
    gone.signal.throwIfAborted();
    return { kind: "token", account };
  }
}

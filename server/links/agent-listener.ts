import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "../../shared/clock.ts";
import { ProxyError } from "../../shared/errors.ts";
import { GrpcServer } from "../../shared/grpc/server.ts";
import { GrpcCode, GrpcError, type GrpcStatus } from "../../shared/grpc/status.ts";
import type { GrpcServerCall, GrpcServerSession } from "../../shared/grpc/stream.ts";
import { HeaderError, parseAgentMetadata, serverMetadata } from "../../shared/konnectivity/agent-headers.ts";
import type { AgentIdentifiers } from "../../shared/konnectivity/agent-identifiers.ts";
import type { Log } from "../../shared/log.ts";
import { loadCaBundle, loadKeyPair } from "../../shared/tls/credentials.ts";
import { peerIdentity } from "../../shared/tls/identity.ts";
import { bearerToken } from "../authentication/bearer-token.ts";
import { type AgentProof, unprovenIdentifier } from "../authentication/identifier-policy.ts";
import type { TokenAuthenticator } from "../authentication/token-authenticator.ts";
import { type Listener, listenTls } from "../listeners/listener.ts";
import type { ServerMetrics } from "../metrics.ts";
import type { ServerOptions } from "../options.ts";
import { KonnectivityLink } from "./konnectivity-link.ts";
import type { AgentIdentity } from "./link.ts";
import type { Registry } from "./registry.ts";

/** Path that the reference's agents call. Source: proto/konnectivity.proto. */
const connectPath = "/AgentService/Connect";
/** From accept to an admitted stream. */
const admissionTimeoutMs = 10_000;
const linksMax = 10_000;
const handshakeLimits = { max: 256, perSourceMax: 32 };
/** A link is pinged this often at least, and given up after this long without a byte: a dead agent is noticed within 15 s. */
const pingIntervalMaxMs = 4_000;
const silenceMaxMs = 12_000;

export interface AgentListenerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ServerMetrics;
  readonly registry: Registry;
  /** Without one, agents need no token. */
  readonly authenticator: TokenAuthenticator | undefined;
}

type Options = Pick<
  ServerOptions,
  "agentListener" | "agentIdentifierPolicy" | "serverId" | "serverCount" | "keepaliveMs"
>;
type Claims = ReturnType<typeof parseAgentMetadata>;

/** Where agents connect: admits them, and turns each stream into a link in the registry for as long as it lives. */
export class AgentListener {
  readonly #deps: AgentListenerDeps;
  readonly #options: Options;
  readonly #grpc: GrpcServer;
  readonly #sockets = new Set<Socket>();
  /** How many links each session has; one that stays without is closed. */
  readonly #admitted = new WeakMap<GrpcServerSession, number>();
  #listener: Listener | undefined;

  constructor(deps: AgentListenerDeps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    this.#grpc = new GrpcServer(deps, {
      role: "agents",
      handlers: new Map([[connectPath, (call) => void this.#serve(call)]]),
      keepalive: { intervalMs: Math.min(options.keepaliveMs, pingIntervalMaxMs), timeoutMs: silenceMaxMs },
    });
  }

  get address(): string {
    return this.#listener?.address ?? "";
  }

  /** Throws a UsageError that names file or address when it cannot listen. */
  async start(): Promise<void> {
    const { host, port, keyPair, caFile, tls } = this.#options.agentListener;
    this.#listener = await listenTls(
      { log: this.#deps.log, onHandshakeRefused: () => this.#deps.metrics.refused("handshakes") },
      {
        host,
        port,
        keyPair: loadKeyPair(keyPair),
        clientCa: caFile === undefined ? undefined : loadCaBundle(caFile),
        tls,
        alpn: ["h2"],
        handshakes: handshakeLimits,
      },
      (socket) => this.#accept(socket),
    );
  }

  /** Takes no new agents; links go on. */
  async closeListener(): Promise<void> {
    await this.#listener?.close();
  }

  /** Tells agents that this server goes (a reference agent drops its link on that at once), then ends every link. */
  abort(reason: ProxyError): void {
    this.#grpc.drain();
    for (const link of [...this.#deps.registry.links]) link.close(reason);
    this.#grpc.abort(reason.message);
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", (error) => this.#deps.log.debug({ err: error }, "agent socket failed"));
    const session = this.#grpc.accept(socket);
    this.#limitAdmission(session, socket);
  }

  /** Closes a session that has no link when the admission time is over: counted from now, and again from the end of each link. */
  #limitAdmission(session: GrpcServerSession, socket: Socket): void {
    const cancel = this.#deps.clock.after(admissionTimeoutMs, () => {
      socket.off("close", cancel);
      if (this.#admitted.has(session)) return;
      this.#deps.metrics.refused("admission_time");
      this.#deps.log.info({ peer: session.peer }, "agent connection closed: no agent stream within 10 s");
      session.abort("no agent stream within 10 s");
    });
    socket.once("close", cancel);
  }

  async #serve(call: GrpcServerCall): Promise<void> {
    const { metrics, registry, clock } = this.#deps;
    metrics.grpcConnections.Connect.inc();
    let claims: Claims | undefined;
    try {
      claims = parseAgentMetadata(call.metadata);
      const agent = await this.#admit(call, claims);
      const log = this.#deps.log.child({ agent: agent.id, peer: agent.peer });
      const link = new KonnectivityLink({ call, clock, log, metrics }, { agent });
      call.sendHeaders(serverMetadata({ serverId: this.#options.serverId, serverCount: this.#options.serverCount }));
      this.#linked(call.session, 1);
      const ended = link.run();
      registry.add(link);
      log.info({ subject: agent.subject, node: agent.nodeName, userAgent: agent.userAgent }, "agent linked");
      const status = await ended;
      registry.remove(link);
      this.#linked(call.session, -1);
      log.info({ status: status.code, reason: status.message }, "agent link ended");
    } catch (error) {
      this.#refuse(call, claims?.agentId, error);
    } finally {
      metrics.grpcConnections.Connect.dec();
    }
  }

  #linked(session: GrpcServerSession, change: 1 | -1): void {
    const links = (this.#admitted.get(session) ?? 0) + change;
    if (links > 0) {
      this.#admitted.set(session, links);
      return;
    }
    this.#admitted.delete(session);
    if (!session.socket.destroyed) this.#limitAdmission(session, session.socket);
  }

  /** Rejects with a GrpcError or a ProxyError. */
  async #admit(call: GrpcServerCall, { agentId, identifiers }: Claims): Promise<AgentIdentity> {
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
    if (registry.links.size < linksMax) return;
    metrics.refused("links");
    throw new ProxyError("over_limit", `this server has ${linksMax} agent links already`);
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

  #refuse(call: GrpcServerCall, agentId: string | undefined, error: unknown): void {
    const status = refusalStatus(error);
    const level = error instanceof ProxyError ? error.traits.level : "warn";
    const { peer } = call.session;
    this.#deps.log[level]({ agent: agentId, peer, reason: status.message, err: error }, "agent refused");
    call.finish(status);
    // Whoever tries tokens or names pays for a handshake each time.
    if (refusedIdentity.has(status.code)) call.session.drain();
  }
}

const refusedIdentity: ReadonlySet<GrpcCode> = new Set([GrpcCode.UNAUTHENTICATED, GrpcCode.PERMISSION_DENIED]);

function refusalStatus(error: unknown): GrpcStatus {
  // A plain Go error is UNKNOWN on the wire: so is what the reference checks in the same place.
  if (error instanceof HeaderError) return { code: GrpcCode.UNKNOWN, message: error.message };
  if (error instanceof GrpcError) return { code: error.code, message: error.message };
  const { traits, message } = ProxyError.from(error);
  return { code: traits.grpc, message };
}

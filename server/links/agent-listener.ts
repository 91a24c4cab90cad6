import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../../shared/clock.ts";
import { ProxyError } from "../../shared/errors.ts";
import type { ElasticSocket } from "../../shared/grpc/elastic-socket.ts";
import { GrpcServer } from "../../shared/grpc/server.ts";
import { GrpcCode, GrpcError, type GrpcStatus } from "../../shared/grpc/status.ts";
import type { CallWatch, GrpcServerCall, GrpcServerSession } from "../../shared/grpc/stream.ts";
import { HeaderError, parseAgentMetadata, serverMetadata } from "../../shared/konnectivity/agent-headers.ts";
import type { Log } from "../../shared/log.ts";
import { loadCaBundle, loadKeyPair } from "../../shared/tls/credentials.ts";
import { bearsToken, carryPath, linkedServers, linkPath } from "../../shared/tunnel/headers.ts";
import { type Listener, listenTls } from "../listeners/listener.ts";
import type { ServerOptions } from "../options.ts";
import { Admission, type AdmissionDeps, type AdmissionOptions, type AgentClaims } from "./admission.ts";
import { KonnectivityLink } from "./konnectivity-link.ts";
import type { AgentIdentity } from "./link.ts";
import { TunnelLink } from "./tunnel-link.ts";

/** Path that the reference's agents call. Source: proto/konnectivity.proto. */
const connectPath = "/AgentService/Connect";
/** From accept to an admitted stream. */
export const admissionTimeoutMs = 10_000;
/** Most that HTTP/2 can say. */
const callsMax = 2 ** 31 - 1;
export const agentHandshakeLimits = { max: 512, perSourceMax: 256 };
/** A link is pinged this often at least, and given up after this long without a byte: a dead agent is noticed within 15 s. */
const pingIntervalMaxMs = 4_000;
const silenceMaxMs = 12_000;

export interface AgentListenerDeps extends AdmissionDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly calls: CallWatch;
}

type Options = Pick<ServerOptions, "agentListener" | "serverId" | "serverCount" | "keepaliveMs"> & AdmissionOptions;

/** Makes the link of an admitted agent, of the kind that it asked for. */
type OpenLink = (call: GrpcServerCall, agent: AgentIdentity, log: Log) => KonnectivityLink | TunnelLink;

/** Where agents connect: admits them, and turns each stream into a link in the registry for as long as it lives. */
export class AgentListener {
  readonly #deps: AgentListenerDeps;
  readonly #options: Options;
  readonly #admission: Admission;
  readonly #grpc: GrpcServer;
  readonly #sockets = new Set<Socket>();
  /** How many links each session has; one that stays without is closed. */
  readonly #admitted = new WeakMap<GrpcServerSession, number>();
  /** The links with lanes of a session: usually one; more where a proxy on the way puts agents together. */
  readonly #tunnels = new WeakMap<GrpcServerSession, Set<TunnelLink>>();
  #listener: Listener | undefined;
  #draining = false;

  constructor(deps: AgentListenerDeps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    this.#admission = new Admission(deps, options);
    this.#grpc = new GrpcServer(deps, {
      role: "agents",
      handlers: new Map([
        [connectPath, (call) => this.#serve(call, this.#openPackets)],
        [linkPath, (call) => this.#serve(call, this.#openTunnel)],
        [carryPath, (call) => this.#carry(call)],
      ]),
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
      { ...this.#deps, onRefused: (limit) => this.#deps.metrics.refused(limit) },
      {
        flag: "--agent-port",
        host,
        port,
        keyPair: loadKeyPair(keyPair),
        clientCa: caFile === undefined ? undefined : loadCaBundle(caFile),
        tls,
        alpn: ["h2"],
        handshakes: agentHandshakeLimits,
        elastic: true,
      },
      (socket, below) => this.#accept(socket, below),
    );
  }

  /** Takes no new agents, and asks those that it has, and that understand it, to link to other servers; links go on. */
  async drain(): Promise<void> {
    this.#draining = true;
    // Before they are asked, so that none of them comes back here.
    await this.#listener?.close();
    for (const link of this.#deps.registry.links) link.drain();
  }

  /** Tells agents that this server goes (a reference agent drops its link on that at once), then ends every link. */
  abort(reason: ProxyError): void {
    this.#grpc.drain();
    for (const link of [...this.#deps.registry.links]) link.close(reason);
    this.#grpc.abort(reason.message);
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: TLSSocket, below: ElasticSocket | undefined): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", (error) => this.#deps.log.debug({ err: error }, "agent socket failed"));
    const session = this.#grpc.accept(socket, below);
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

  readonly #openPackets: OpenLink = (call, agent, log) =>
    new KonnectivityLink({ ...this.#deps, call, log }, { agent, ...this.#options.limits });

  readonly #openTunnel: OpenLink = (call, agent, log) => {
    const link = new TunnelLink({ ...this.#deps, call, log }, { agent, ...this.#options.limits });
    const links = this.#tunnels.get(call.session) ?? new Set();
    this.#tunnels.set(call.session, links.add(link));
    void call.closed.then(() => links.delete(link));
    call.session.allowCalls(Math.min(links.size * (link.lanesMax + 1), callsMax));
    call.session.tuneWindows();
    call.session.resetWhenSilent();
    return link;
  };

  /** An agent of Hawser names the servers that it has: one that finds itself among them says so before it asks anybody about a token. */
  #serve(call: GrpcServerCall, openLink: OpenLink): void {
    const { serverId, serverCount } = this.#options;
    if (!linkedServers(call.metadata).includes(serverId)) {
      void this.#link(call, openLink);
      return;
    }
    call.sendHeaders(serverMetadata({ serverId, serverCount }));
    call.finish({ code: GrpcCode.ALREADY_EXISTS, message: "this agent is linked to this server already" });
  }

  #carry(call: GrpcServerCall): void {
    const links = [...(this.#tunnels.get(call.session) ?? [])];
    const link = links.find(({ token }) => bearsToken(call.metadata, token));
    if (link !== undefined) return link.carry(call);
    this.#deps.log.debug({ peer: call.session.peer }, "lane refused: it bears no token of a link on its connection");
    call.finish({ code: GrpcCode.UNAUTHENTICATED, message: "no link on this connection has this token" });
  }

  async #link(call: GrpcServerCall, openLink: OpenLink): Promise<void> {
    const { metrics, registry } = this.#deps;
    metrics.grpcConnections.Connect.inc();
    let claims: AgentClaims | undefined;
    try {
      claims = parseAgentMetadata(call.metadata);
      const agent = await this.#admission.admit(call, claims);
      // One that was on its way when the others were asked to go.
      if (this.#draining) throw new ProxyError("shutdown", "this proxy server is shutting down");
      const log = this.#deps.log.child({ agent: agent.id, peer: agent.peer });
      const link = openLink(call, agent, log);
      call.sendHeaders(serverMetadata({ serverId: this.#options.serverId, serverCount: this.#options.serverCount }));
      this.#linked(call.session, 1);
      try {
        const ended = link.run();
        registry.add(link);
        const { subject, nodeName: node, userAgent } = agent;
        log.info({ subject, node, userAgent, lanes: link instanceof TunnelLink }, "agent linked");
        const status = await ended;
        log.info({ status: status.code, reason: status.message }, "agent link ended");
      } finally {
        registry.remove(link);
        this.#linked(call.session, -1);
      }
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

  #refuse(call: GrpcServerCall, agentId: string | undefined, error: unknown): void {
    const status = refusalStatus(error);
    const level = error instanceof ProxyError ? error.traits.level : isOutage(error) ? "debug" : "warn";
    const { peer } = call.session;
    this.#deps.log[level]({ agent: agentId, peer, reason: status.message, err: error }, "agent refused");
    call.finish(status);
    // Whoever tries tokens or names pays for a handshake each time.
    if (refusedIdentity.has(status.code)) call.session.drain();
  }
}

/** Whoever could not be asked about an agent has told that once, and every agent meets with it. */
const isOutage = (error: unknown): boolean => error instanceof GrpcError && error.code === GrpcCode.UNAVAILABLE;

const refusedIdentity: ReadonlySet<GrpcCode> = new Set([GrpcCode.UNAUTHENTICATED, GrpcCode.PERMISSION_DENIED]);

function refusalStatus(error: unknown): GrpcStatus {
  // A plain Go error is UNKNOWN on the wire: so is what the reference checks in the same place.
  if (error instanceof HeaderError) return { code: GrpcCode.UNKNOWN, message: error.message };
  if (error instanceof GrpcError) return { code: error.code, message: error.message };
  const { traits, message } = ProxyError.from(error);
  return { code: traits.grpc, message };
}

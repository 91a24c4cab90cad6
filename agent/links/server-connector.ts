import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Clock, Random } from "../../shared/clock.ts";
import type { DialRequest } from "../../shared/dial.ts";
import { connectGrpc } from "../../shared/grpc/client.ts";
import { ElasticSocket } from "../../shared/grpc/elastic-socket.ts";
import type { Metadata } from "../../shared/grpc/metadata.ts";
import { GrpcCode, GrpcError } from "../../shared/grpc/status.ts";
import type { CallWatch, GrpcClientCall, GrpcClientSession } from "../../shared/grpc/stream.ts";
import { hostPort } from "../../shared/host-port.ts";
import { openConnectTunnel } from "../../shared/http/connect-tunnel.ts";
import type { HttpProxy } from "../../shared/http/proxy-environment.ts";
import { agentMetadata, agentUserAgent, parseServerMetadata } from "../../shared/konnectivity/agent-headers.ts";
import { readToken } from "../../shared/kubernetes/token-file.ts";
import type { Log } from "../../shared/log.ts";
import type { CaBundle, KeyPair } from "../../shared/tls/credentials.ts";
import { linkMetadata, linkPath } from "../../shared/tunnel/headers.ts";
import type { AgentMetrics } from "../metrics.ts";
import type { LinkProtocol } from "../options.ts";
import { anyAddress } from "./any-address.ts";
import { KonnectivityLink } from "./konnectivity-link.ts";
import type { ServerLink } from "./link.ts";
import { TunnelLink } from "./tunnel-link.ts";

const connectPath = "/AgentService/Connect";
/** TCP, the proxy if there is one, TLS and HTTP/2, as grpc-go allows; and then the response headers, for which the reference waits without end. */
const connectTimeoutMs = 20_000;
const headersTimeoutMs = 10_000;
/**
 * A reference server punishes pings that come less than 30 s apart. A Hawser server pings by itself, so that a dead one is
 * noticed by the silence either way.
 */
const pingIntervalMs = 31_000;
/** For a notice within 45 s: on a busy machine what had arrived before the silence is read for seconds into it. */
const silenceMaxMs = 41_000;
const tcpKeepAliveMs = 3_000;
/** Between two of Hawser's ends: what is dead is noticed within 15 s. */
const tunnelKeepalive = { intervalMs: 4_000, timeoutMs: 12_000 };
/** What stands on the way and mixes connections will not be gone at the next attempt. */
const packetsAfterRefusalMs = 600_000;

export interface ConnectorDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  readonly calls: CallWatch;
  readonly onDial: (request: DialRequest, server: { readonly id: string }) => void;
}

export interface ConnectorOptions {
  readonly host: string;
  readonly port: number;
  /** Through which the server is reached; undefined if directly. */
  readonly proxy: HttpProxy | undefined;
  /** In the order to offer them. */
  readonly alpn: readonly string[];
  readonly linkProtocol: LinkProtocol;
  readonly ca: CaBundle;
  readonly keyPair: KeyPair | undefined;
  readonly agentId: string;
  readonly identifiers: string;
  /** Holds the token to present; read again for each attempt, since tokens are renewed. */
  readonly tokenFile: string | undefined;
}

interface OpenOptions {
  /** Ends the link at any time. */
  readonly signal: AbortSignal;
  /** Ids of the servers that need not answer again. */
  readonly linkedServers: readonly string[];
}

export interface OpenedLink {
  readonly link: ServerLink;
  /** Begins to serve dials. A link that is not wanted is closed instead. */
  start(): void;
  /** Called once when the server says that it goes away; the link lives on until it ends. */
  onGoaway(listener: () => void): void;
}

/** Opens one link to whichever server answers at the configured address. */
export class ServerConnector {
  readonly #deps: ConnectorDeps;
  readonly #options: ConnectorOptions;
  /** Until then only the reference's link is asked for. */
  #packetsUntil = 0;

  constructor(deps: ConnectorDeps, options: ConnectorOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Asks for Hawser's own link first, and for the reference's of a server that does not know it. Rejects with what went wrong,
   * in words for the log; nothing is left open then.
   */
  async open(options: OpenOptions): Promise<OpenedLink> {
    const { agentId, identifiers, tokenFile } = this.#options;
    const token = tokenFile === undefined ? {} : { token: readToken(tokenFile) };
    const metadata = agentMetadata({ agentId, identifiers, ...token });
    const session = await this.#connect(options.signal);
    try {
      return (
        (await this.#openTunnel(session, metadata, options)) ?? (await this.#openPackets(session, metadata, options))
      );
    } catch (error) {
      session.abort("no agent stream");
      throw error;
    }
  }

  /** Undefined if this server has no such link. */
  async #openTunnel(
    session: GrpcClientSession,
    metadata: Metadata,
    { signal, linkedServers }: OpenOptions,
  ): Promise<OpenedLink | undefined> {
    const { clock, log } = this.#deps;
    if (this.#options.linkProtocol === "konnectivity" || clock.now() < this.#packetsUntil) return undefined;
    const call = session.open(linkPath, { metadata: linkMetadata(metadata, { linkedServers }), signal });
    let headers: Metadata;
    try {
      headers = await this.#headers(call);
    } catch (error) {
      if (error instanceof GrpcError && error.code === GrpcCode.UNIMPLEMENTED) return undefined;
      throw error;
    }
    const server = serverOf(headers);
    endWith(session, call);
    session.keepalive(tunnelKeepalive);
    session.tuneWindows();
    session.resetWhenSilent();
    const link = new TunnelLink(
      {
        ...this.#linkDeps(server),
        session,
        call,
        onLanesRefused: (reason) => {
          this.#packetsUntil = clock.now() + packetsAfterRefusalMs;
          log.warn({ server: server.id, reason }, "server took no lanes: linking as the reference does for a while");
        },
      },
      { server },
    );
    return { link, start: () => link.start(), onGoaway: (listener) => link.onGoaway(listener) };
  }

  async #openPackets(
    session: GrpcClientSession,
    metadata: Metadata,
    { signal, linkedServers }: OpenOptions,
  ): Promise<OpenedLink> {
    const named = linkedServers.length === 0 ? metadata : linkMetadata(metadata, { linkedServers });
    const call = session.open(connectPath, { metadata: named, signal });
    const server = serverOf(await this.#headers(call));
    endWith(session, call);
    const link = new KonnectivityLink({ ...this.#linkDeps(server), call }, { server });
    return { link, start: () => link.start(), onGoaway: (listener) => session.onGoaway(listener) };
  }

  #linkDeps(server: LinkedServer) {
    const { clock, log, metrics, onDial } = this.#deps;
    return {
      clock,
      metrics,
      log: log.child({ server: server.id }),
      onDial: (request: DialRequest) => onDial(request, server),
    };
  }

  async #connect(signal: AbortSignal): Promise<GrpcClientSession> {
    const { clock, random } = this.#deps;
    const { host, port, keyPair } = this.#options;
    const authority = keyPair === undefined ? hostPort(host, port) : host;
    const startedAt = clock.now();
    const tcp = (await this.#tunnel(signal)) ?? connect({ host, port, lookup: anyAddress(random) });
    if (signal.aborted) {
      tcp.destroy();
      throw signal.reason;
    }
    tcp.setNoDelay(true).setKeepAlive(true, tcpKeepAliveMs);
    const elastic = new ElasticSocket(this.#deps, tcp);
    try {
      return await connectGrpc(this.#deps, {
        socket: () => this.#secure(elastic, signal),
        authority,
        userAgent: agentUserAgent,
        elastic,
        keepalive: { intervalMs: pingIntervalMs, timeoutMs: silenceMaxMs },
        connectTimeoutMs: Math.max(connectTimeoutMs - (clock.now() - startedAt), 1),
      });
    } catch (error) {
      elastic.destroy();
      throw error;
    }
  }

  /** The way through the proxy, if there is one. */
  async #tunnel(signal: AbortSignal): Promise<Socket | undefined> {
    const { host, port, proxy } = this.#options;
    if (proxy === undefined) return undefined;
    return await openConnectTunnel(this.#deps, {
      proxy,
      target: { host, port },
      userAgent: agentUserAgent,
      timeoutMs: connectTimeoutMs,
      signal,
    });
  }

  #secure(below: ElasticSocket, signal: AbortSignal): TLSSocket {
    const { host, alpn, ca, keyPair } = this.#options;
    const socket = connectTls({
      host,
      socket: below,
      ...(isIP(host) ? {} : { servername: host }),
      ca: ca.ca,
      ...(keyPair === undefined ? {} : { cert: keyPair.cert, key: keyPair.key }),
      ALPNProtocols: [...alpn],
      minVersion: "TLSv1.2",
    });
    const abort = () => socket.destroy();
    signal.addEventListener("abort", abort, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", abort));
    return socket;
  }

  /** The call ends with UNAVAILABLE if the headers do not come in time. */
  async #headers(call: GrpcClientCall): Promise<Metadata> {
    const cancel = this.#deps.clock.after(headersTimeoutMs, () =>
      call.cancel("the server sent no response headers within 10 s"),
    );
    try {
      return await call.headers;
    } finally {
      cancel();
    }
  }
}

type LinkedServer = ServerLink["server"];

function serverOf(headers: Metadata): LinkedServer {
  const { serverId, serverCount } = parseServerMetadata(headers);
  return { id: serverId, count: serverCount };
}

function endWith(session: GrpcClientSession, call: GrpcClientCall): void {
  void call.closed.then(() => session.abort("the agent stream has ended"));
}

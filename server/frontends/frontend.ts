import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { ClientGate } from "../../shared/client-gate.ts";
import type { Clock } from "../../shared/clock.ts";
import type { DialRequest } from "../../shared/dial.ts";
import type { ProxyError } from "../../shared/errors.ts";
import { GrpcServer } from "../../shared/grpc/server.ts";
import { GrpcCode } from "../../shared/grpc/status.ts";
import type { CallWatch, GrpcServerCall } from "../../shared/grpc/stream.ts";
import type { Log } from "../../shared/log.ts";
import { peerOf } from "../../shared/peer-address.ts";
import { loadCaBundle, loadKeyPair } from "../../shared/tls/credentials.ts";
import { peerIdentity } from "../../shared/tls/identity.ts";
import type { Dialer, FrontendIdentity } from "../dialer.ts";
import { type Listener, listenTls, listenUds } from "../listeners/listener.ts";
import { type Protocol, sniffProtocol } from "../listeners/sniff.ts";
import type { ServerMetrics } from "../metrics.ts";
import type { FrontendOptions } from "../options.ts";
import type { ServerLimits } from "../options-limits.ts";
import { isAllowed, namesOf } from "./client-names.ts";
import { GrpcFrontendStream } from "./grpc-stream.ts";
import { HttpConnectFrontend } from "./http-connect.ts";

/** Path that konnectivity's clients call. Source: proto/konnectivity.proto. */
const proxyPath = "/ProxyService/Proxy";
/** A frontend that is silent for this long is pinged; after as long again without a byte it is given up. */
const keepaliveMaxMs = 30_000;

/** One kube-apiserver, one source, may open a connection for each of many dials at once. */
export const frontendHandshakeLimits = { max: 4_096, perSourceMax: 4_096 };

export interface FrontendDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ServerMetrics;
  readonly dialer: Dialer;
  readonly calls: CallWatch;
}

type Options = FrontendOptions & {
  readonly keepaliveMs: number;
  readonly limits: Pick<ServerLimits, "frontendConnectionsMax">;
};

/** A listener on which clients ask for connections, by gRPC, by HTTP CONNECT, or by either. */
export class Frontend {
  readonly #deps: FrontendDeps;
  readonly #options: Options;
  readonly #grpc: GrpcServer;
  readonly #connect: HttpConnectFrontend;
  readonly #sockets: ClientGate<Socket>;
  /** Of gRPC, which may have many on one socket. */
  readonly #streams: ClientGate<GrpcServerCall>;
  #listener: Listener | undefined;

  constructor(deps: FrontendDeps, options: Options) {
    this.#deps = deps;
    this.#options = options;
    const max = options.limits.frontendConnectionsMax;
    this.#sockets = new ClientGate({ max, onEvicted: (socket) => this.#evict(socket) });
    this.#streams = new ClientGate({ max, onEvicted: (call) => this.#evictStream(call) });
    const intervalMs = Math.min(options.keepaliveMs, keepaliveMaxMs);
    this.#grpc = new GrpcServer(deps, {
      role: "frontends",
      handlers: new Map([[proxyPath, (call) => this.#serveStream(call)]]),
      // Death on the other end of a Unix socket is told by the kernel.
      ...(options.listen.kind === "tcp" ? { keepalive: { intervalMs, timeoutMs: 2 * intervalMs } } : {}),
    });
    this.#connect = new HttpConnectFrontend({
      ...deps,
      dial: (request, socket) => this.#dial(request, "http-connect", socket),
    });
  }

  /** Where it listens: `host:port`, or the socket's path. Empty before `start`. */
  get address(): string {
    return this.#listener?.address ?? "";
  }

  /** Throws a UsageError that names file or address when it cannot listen. */
  async start(): Promise<void> {
    const { listen, mode } = this.#options;
    if (listen.kind === "uds") {
      this.#listener = await listenUds(listen, (socket) => this.#accept(socket));
      return;
    }
    this.#listener = await listenTls(
      { ...this.#deps, onRefused: (limit) => this.#deps.metrics.refused(limit) },
      {
        flag: "--server-port",
        host: listen.host,
        port: listen.port,
        keyPair: loadKeyPair(listen.keyPair),
        clientCa: loadCaBundle(listen.caFile),
        tls: listen.tls,
        alpn: { grpc: ["h2"], "http-connect": ["http/1.1"], auto: ["h2", "http/1.1"] }[mode],
        handshakes: frontendHandshakeLimits,
        // Who speaks HTTP CONNECT has no need of it.
        elastic: false,
      },
      (socket) => this.#admit(socket, listen.clientNames),
    );
  }

  /** Takes no new clients, and tells those of gRPC to ask elsewhere; connections go on. Removes a socket file. */
  async drain(): Promise<void> {
    await this.#listener?.close();
    this.#connect.drain();
    this.#grpc.drain();
  }

  /** After `drain`: resolves when the last client has left, as each does that has heard of its connection's end. */
  async deserted(): Promise<void> {
    await Promise.all(
      [...this.#sockets.clients].map((socket) => new Promise((resolve) => socket.once("close", resolve))),
    );
  }

  /** Ends everything at once. */
  abort(reason: ProxyError): void {
    this.#grpc.abort(reason.message);
    for (const socket of this.#sockets.clients) socket.destroy();
  }

  #admit(socket: TLSSocket, clientNames: readonly string[]): void {
    const identity = peerIdentity(socket);
    if (isAllowed(identity, clientNames)) return this.#accept(socket);
    const { log, metrics } = this.#deps;
    metrics.refused("frontend_client_names");
    log.warn(
      { peer: peerOf(socket), names: identity && namesOf(identity) },
      "frontend client refused: --frontend-client-names has none of its certificate's names",
    );
    socket.on("error", () => {});
    socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.enter(socket);
    socket.once("close", () => this.#sockets.leave(socket));
    socket.on("error", (error) => this.#deps.log.debug({ err: error }, "frontend socket failed"));
    if (this.#options.mode !== "auto") return this.#serve(socket, this.#options.mode);
    const onRefused = (limit: string) => this.#deps.metrics.refused(limit);
    sniffProtocol(socket, { ...this.#deps, onRefused }, (protocol) => this.#serve(socket, protocol));
  }

  #serve(socket: Socket, protocol: Protocol): void {
    if (protocol === "grpc") this.#grpc.accept(socket);
    else this.#connect.accept(socket);
  }

  #serveStream(call: GrpcServerCall): void {
    const { metrics } = this.#deps;
    metrics.grpcConnections.Proxy.inc();
    this.#streams.enter(call);
    void call.closed.then(() => {
      this.#streams.leave(call);
      metrics.grpcConnections.Proxy.dec();
    });
    new GrpcFrontendStream({
      ...this.#deps,
      call,
      dial: (request) => this.#streams.use(call, this.#dial(request, "grpc", call.session.socket)),
    }).start();
  }

  #dial(request: DialRequest, protocol: FrontendIdentity["protocol"], socket: Socket): Promise<void> {
    const subject = socket instanceof TLSSocket ? peerIdentity(socket)?.commonName : undefined;
    const done = this.#deps.dialer.dial(request, { protocol, peer: peerOf(socket), subject });
    this.#sockets.use(socket, done);
    return done;
  }

  #evict(socket: Socket): void {
    // One that was refused already only lingers to read that.
    if (!socket.writableEnded) this.#countEviction(peerOf(socket));
    socket.destroy();
  }

  #evictStream(call: GrpcServerCall): void {
    this.#countEviction(call.session.peer);
    const message = "too many clients: this one was the oldest without a connection";
    call.fail({ code: GrpcCode.RESOURCE_EXHAUSTED, message });
  }

  #countEviction(peer: string): void {
    this.#deps.metrics.refused("frontend_connections");
    this.#deps.log.warn({ peer }, "client dropped: there are too many, and it had neither dial nor connection");
  }
}

import { performServerHandshake, type ServerSessionOptions } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { type ElasticSocket, footingOf } from "./elastic-socket.ts";
import { type GrpcServerRole, initialCalls, serverSessionOptions } from "./http2-options.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import { openGate } from "./send-gate.ts";
import { SendArena } from "./send-queue.ts";
import { ServerSession } from "./server-session.ts";
import type { CallWatch, GrpcServerCall, GrpcServerSession } from "./stream.ts";

export interface GrpcServerDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly calls?: CallWatch;
}

export interface GrpcServerOptions {
  /** By path, `/Service/Method`. Any other is answered with UNIMPLEMENTED. */
  readonly handlers: ReadonlyMap<string, (call: GrpcServerCall) => void>;
  readonly role: GrpcServerRole;
  /** Concurrent calls of a session from its start; by role where left out. */
  readonly maxCalls?: number;
  readonly keepalive?: KeepaliveOptions;
}

/**
 * gRPC on sockets that somebody else listens for: TCP, TLS (with `h2` negotiated) or UNIX.
 *
 * The `:authority` of a request is not looked at, but HTTP/2 parses it: percent-encoded socket paths, as grpc-go sends
 * them, are taken; a raw path with `/` in it, as grpc-go sent before 1.35 or so, is refused by nghttp2 with a reset of
 * that stream before Node sees it.
 */
export class GrpcServer {
  readonly #deps: GrpcServerDeps;
  readonly #options: GrpcServerOptions;
  readonly #sessionOptions: ServerSessionOptions;
  readonly #arena = new SendArena();
  readonly #sessions = new Set<GrpcServerSession>();
  #draining = false;

  constructor(deps: GrpcServerDeps, options: GrpcServerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#sessionOptions = serverSessionOptions(options.maxCalls ?? initialCalls[options.role]);
  }

  /** Sessions whose connection stands. */
  get sessions(): ReadonlySet<GrpcServerSession> {
    return this.#sessions;
  }

  /**
   * Serves a socket whose TLS handshake, if any, is done. Bytes that were read to tell protocols apart must have been
   * unshifted. The socket belongs to the session from here on, and `below`, which it stands on if it is TLS; TLS that stands on
   * none gets an elastic socket above it. While draining, the session gets its GOAWAY at once.
   */
  accept(socket: Socket, below?: ElasticSocket): GrpcServerSession {
    const { duplex, elastic, tcp } = footingOf(this.#deps, socket, below ?? socket instanceof TLSSocket);
    const http2 = performServerHandshake(duplex, this.#sessionOptions);
    elastic?.gate.useSession(http2);
    const session = new ServerSession(this.#deps, http2, socket, {
      arena: this.#arena,
      gate: elastic?.gate ?? openGate,
      handlers: this.#options.handlers,
      drainOnResets: this.#options.role === "frontends",
      tcp,
      keepalive: this.#options.keepalive,
      onLost: (lost) => this.#sessions.delete(lost),
    });
    this.#sessions.add(session);
    if (this.#draining) session.drain();
    return session;
  }

  /** GOAWAY on every session, and on those that still come. Calls that run go on. May be called twice. */
  drain(): void {
    this.#draining = true;
    for (const session of this.#sessions) session.drain();
  }

  /** Ends every session now. */
  abort(reason: string): void {
    for (const session of this.#sessions) session.abort(reason);
  }
}

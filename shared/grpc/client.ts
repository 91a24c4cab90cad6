import { type ClientHttp2Session, connect } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { ClientSession } from "./client-session.ts";
import { type ElasticSocket, type Footing, footingOf } from "./elastic-socket.ts";
import { clientSessionOptions } from "./http2-options.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import { openGate } from "./send-gate.ts";
import { GrpcCode, GrpcError } from "./status.ts";
import type { CallWatch, GrpcClientSession } from "./stream.ts";

export interface ConnectDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly calls?: CallWatch;
}

export interface ConnectOptions {
  /** Makes a socket that is connecting: `net.connect`, or `tls.connect` with `h2` in its ALPN list. It belongs to the session. */
  readonly socket: () => Socket;
  /** `:authority` of every call: a host, `host:port`, or a percent-encoded socket path. A raw `/` makes servers refuse the call. */
  readonly authority: string;
  readonly userAgent: string;
  /** Whether this end reads always, and by what (see `footingOf`). One end of every Node-to-Node connection has to. */
  readonly elastic: boolean | ElasticSocket;
  readonly keepalive?: KeepaliveOptions;
  /** For everything until the server's SETTINGS have come. */
  readonly connectTimeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Connects, and resolves when the server's SETTINGS have come, so that a call may be opened.
 * Rejects with GrpcError UNAVAILABLE, whose cause is the socket's error; CANCELLED if `signal` aborts. The socket is
 * destroyed then.
 */
export function connectGrpc(deps: ConnectDeps, options: ConnectOptions): Promise<GrpcClientSession> {
  const { signal } = options;
  if (signal?.aborted === true) return Promise.reject(cancelled(signal));
  const socket = options.socket();
  const encrypted = socket instanceof TLSSocket;
  const footing = footingOf(deps, socket, options.elastic);
  // Calls carry their own authority; this one only satisfies Node.
  const http2 = connect("http://localhost", { ...clientSessionOptions, createConnection: () => footing.duplex });
  return new Promise((resolve, reject) => {
    const fail = (error: GrpcError) => {
      release();
      http2.destroy();
      socket.destroy();
      reject(error);
    };
    const unavailable = (message: string, cause?: unknown) =>
      fail(new GrpcError(GrpcCode.UNAVAILABLE, message, cause === undefined ? {} : { cause }));
    let secured = !encrypted;
    const onError = (error: NodeJS.ErrnoException) => {
      const isEnd = !secured && error.code === "ECONNRESET";
      unavailable(isEnd ? endedBeforeTls : `cannot connect: ${error.message}`, error);
    };
    const onClose = () => unavailable(secured ? "the connection was closed before HTTP/2 was set up" : endedBeforeTls);
    const onAbort = () => fail(cancelled(signal));
    const onSecure = () => {
      secured = true;
      if ((socket as TLSSocket).alpnProtocol !== "h2") unavailable("the peer did not agree to HTTP/2 (ALPN h2)");
    };
    const cancelTimer = deps.clock.after(
      options.connectTimeoutMs,
      () => unavailable(`no HTTP/2 connection within ${Math.round(options.connectTimeoutMs)} ms`),
      { keepAlive: true },
    );
    const release = () => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      http2.off("close", onClose);
      socket.off("secureConnect", onSecure);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    if (encrypted) socket.once("secureConnect", onSecure);
    // The session passes the socket's error on. It may come again after the promise has settled.
    http2.on("error", onError);
    http2.once("close", onClose);
    http2.once("remoteSettings", () => {
      release();
      http2.off("error", onError);
      resolve(sessionOf(deps, http2, socket, options, footing));
    });
  });
}

/** By a FIN or a reset: which of the two comes says nothing. */
const endedBeforeTls =
  "cannot connect: the connection was ended before TLS was set up; the server may be starting, stopping, or busy with many others";

function sessionOf(
  deps: ConnectDeps,
  http2: ClientHttp2Session,
  socket: Socket,
  options: ConnectOptions,
  { elastic, tcp }: Footing,
): GrpcClientSession {
  elastic?.gate.useSession(http2);
  return new ClientSession(deps, http2, socket, {
    gate: elastic?.gate ?? openGate,
    tcp,
    scheme: socket instanceof TLSSocket ? "https" : "http",
    authority: options.authority,
    userAgent: options.userAgent,
    keepalive: options.keepalive,
  });
}

function cancelled(signal: AbortSignal | undefined): GrpcError {
  return new GrpcError(GrpcCode.CANCELLED, "connecting was cancelled", { cause: signal?.reason });
}

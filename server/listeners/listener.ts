import { lstatSync, unlinkSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import type { Clock } from "../../shared/clock.ts";
import { UsageError } from "../../shared/errors.ts";
import { ElasticSocket } from "../../shared/grpc/elastic-socket.ts";
import { hostPort } from "../../shared/host-port.ts";
import { type ListenPlace, listenError } from "../../shared/listen-error.ts";
import type { Log } from "../../shared/log.ts";
import { News } from "../../shared/news.ts";
import { peerOf } from "../../shared/peer-address.ts";
import type { CaBundle, KeyPair } from "../../shared/tls/credentials.ts";
import { openSslCiphers } from "../../shared/tls/policy.ts";
import type { TlsPolicy } from "../options.ts";
import { HandshakeGate, type HandshakeLimits } from "./handshake-gate.ts";

export const handshakeTimeoutMs = 5_000;
/** Dead peers behind a silent network are noticed by TCP too, for what has no pings. */
const tcpKeepAliveMs = 15_000;
const backlog = 4096;

export interface Listener {
  /** `host:port`, or the socket's path. */
  readonly address: string;
  /** Takes no new sockets, and removes a socket file. Those it has handed out are not its own any more. */
  close(): Promise<void>;
}

export interface TlsListenerOptions {
  /** That it is asked for by. */
  readonly flag: string;
  readonly host: string;
  readonly port: number;
  readonly keyPair: KeyPair;
  /** With a CA clients must present a certificate of it; without, none is asked for. */
  readonly clientCa: CaBundle | undefined;
  readonly tls: TlsPolicy;
  readonly alpn: readonly string[];
  readonly handshakes: HandshakeLimits;
  /** Whether TLS is to stand on an ElasticSocket: where HTTP/2 is all that is spoken. */
  readonly elastic: boolean;
}

/** The TLS server as one connection has it, with what that connection's TLS stands on. */
interface ServerOfOne extends TlsServer {
  readonly below: { readonly tcp: Socket; readonly elastic: ElasticSocket | undefined };
}

/**
 * Listens for TLS. `onSocket` gets each socket once its handshake is complete and its client certificate, if asked for, verified;
 * `below` is what it stands on, where that was asked for.
 */
export async function listenTls(
  deps: {
    readonly log: Log;
    readonly clock: Clock;
    readonly onRefused: (limit: "handshakes" | "handshake_time") => void;
  },
  options: TlsListenerOptions,
  onSocket: (socket: TLSSocket, below: ElasticSocket | undefined) => void,
): Promise<Listener> {
  const refusals = new News(deps);
  const gate = new HandshakeGate(options.handshakes, {
    clock: deps.clock,
    onRefused: (source) => {
      deps.onRefused("handshakes");
      const level = refusals.isNews() ? "warn" : "debug";
      deps.log[level]({ source }, "dropped before its TLS handshake was complete: too many at once");
    },
  });
  const ciphers = openSslCiphers(options.tls.cipherSuites);
  const tlsServer = createTlsServer({
    cert: options.keyPair.cert,
    key: options.keyPair.key,
    minVersion: options.tls.minVersion,
    ...(ciphers ? { ciphers } : {}),
    ...(options.clientCa ? { ca: options.clientCa.ca } : {}),
    requestCert: options.clientCa !== undefined,
    rejectUnauthorized: options.clientCa !== undefined,
    ALPNProtocols: [...options.alpn],
    handshakeTimeout: handshakeTimeoutMs,
  });
  // A TLS socket does not say what it stands on. So each connection has an object derived from the server, and that is `this` in what
  // is told of its socket.
  tlsServer.on("secureConnection", function (this: ServerOfOne, socket) {
    const { tcp, elastic } = this.below;
    gate.finished(tcp);
    onSocket(socket, elastic);
  });
  tlsServer.on("tlsClientError", function (this: ServerOfOne, error: NodeJS.ErrnoException, socket) {
    if (error.code === "ERR_TLS_HANDSHAKE_TIMEOUT") deps.onRefused("handshake_time");
    deps.log.info({ peer: peerOf(this.below.tcp), reason: error.message }, "TLS handshake failed");
    socket.destroy();
  });
  const server = createServer({
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: tcpKeepAliveMs,
  });
  server.on("connection", (tcp) => {
    tcp.on("error", (error) => deps.log.debug({ err: error }, "socket failed"));
    if (!gate.enter(tcp)) return;
    const elastic = options.elastic ? new ElasticSocket(deps, tcp) : undefined;
    const own: ServerOfOne = Object.assign(Object.create(tlsServer) as TlsServer, { below: { tcp, elastic } });
    own.emit("connection", elastic ?? tcp);
  });
  await listening(server, options.flag, { host: options.host, port: options.port });
  return { address: addressOf(server), close: () => closed(server) };
}

/** Leaves a socket's file to its owner and group. */
export const socketFileMask = 0o007;

/** Listens on a Unix socket that its owner and group may use (mode 0770), as the reference does. */
export async function listenUds(
  options: { readonly path: string; readonly deleteExisting: boolean },
  onSocket: (socket: Socket) => void,
): Promise<Listener> {
  if (options.deleteExisting) removeSocketFile(options.path);
  const server = createServer(onSocket);
  // The bind happens inside listen(), in this turn: nobody else creates a file under this mask.
  const umask = process.umask(socketFileMask);
  let bound: Promise<void>;
  try {
    bound = listening(server, "--uds-name", { path: options.path });
  } finally {
    process.umask(umask);
  }
  await bound;
  return { address: options.path, close: () => closed(server) };
}

/** Throws a UsageError if something else is there. */
export function removeSocketFile(path: string): void {
  let isSocket: boolean;
  try {
    isSocket = lstatSync(path).isSocket();
  } catch {
    return; // nothing there, or not ours to see: listen() tells
  }
  if (!isSocket) {
    throw new UsageError(`--uds-name ${path} is there already and is not a socket; remove it or give another path`);
  }
  unlinkSync(path);
}

function listening(server: Server, flag: string, place: ListenPlace): Promise<void> {
  const target = "host" in place && place.host === "" ? { port: place.port } : place;
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(flag, place, error)));
    server.listen({ ...target, backlog }, () => {
      server.removeAllListeners("error");
      server.on("error", () => {}); // accept() failing for want of descriptors: the next accept tries again
      resolve();
    });
  });
}

function addressOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return hostPort(address, port);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close();
    // close() waits for sockets that are not ours any more; that it listens no longer is known at once.
    resolve();
  });
}

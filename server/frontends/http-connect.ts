import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../../shared/clock.ts";
import { type DialRequest, randomDialId } from "../../shared/dial.ts";
import { DialController } from "../../shared/dial-signal.ts";
import { ProxyError } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";
import { peerOf } from "../../shared/peer-address.ts";
import type { ServerMetrics } from "../metrics.ts";

/** From the first byte of a request to the end of its head. */
export const headTimeoutMs = 10_000;
export const headMaxBytes = 16 * 1024;
/** After a refusal the socket is read for this long, so that bytes on their way to us do not turn our answer into a reset. */
const lingerMs = 2_000;

/**
 * HTTP CONNECT: one request, then one connection on the same socket. The reference's answers, byte for byte.
 * Node's own HTTP parser reads the head; from then on the socket is ours. Sockets are handed in by the listener.
 */
export class HttpConnectFrontend {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: ServerMetrics;
  readonly #dial: (request: DialRequest, socket: Socket) => void;
  /** Sockets whose request is still awaited. */
  readonly #waiting = new Map<Socket, () => void>();

  constructor(deps: {
    readonly clock: Clock;
    readonly log: Log;
    readonly metrics: ServerMetrics;
    readonly dial: (request: DialRequest, socket: Socket) => void;
  }) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#dial = deps.dial;
    this.#server = createServer({ maxHeaderSize: headMaxBytes, requireHostHeader: false, keepAlive: true });
    this.#server.on("connect", (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#stopWaiting(socket);
      this.#connect(request, socket, head);
    });
    this.#server.on("request", (request, response) => this.#refuseMethod(request, response));
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.#refuseHead(error, socket as Socket));
  }

  /** Takes a socket on which nothing has been read, or what was read has been put back. */
  accept(socket: Socket): void {
    // A client's FIN says that it sends no more; it may still wait for what the endpoint has to say.
    socket.allowHalfOpen = true;
    this.#awaitHead(socket);
    socket.on("close", () => this.#stopWaiting(socket));
    this.#server.emit("connection", socket);
  }

  /** Closes the sockets that have not asked for a connection yet. */
  drain(): void {
    for (const socket of [...this.#waiting.keys()]) socket.destroy();
  }

  #awaitHead(socket: Socket): void {
    const cancel = this.#clock.after(headTimeoutMs, () => {
      this.#metrics.refused("connect_head_time");
      this.#log.info({ peer: peerOf(socket) }, "client closed: no complete request within 10 s");
      socket.destroy();
    });
    this.#waiting.set(socket, cancel);
  }

  #stopWaiting(socket: Socket): void {
    this.#waiting.get(socket)?.();
    this.#waiting.delete(socket);
  }

  #refuseMethod(request: IncomingMessage, response: ServerResponse): void {
    const body = "this proxy only supports CONNECT passthrough\n";
    const { socket } = request;
    this.#stopWaiting(socket);
    response.on("finish", () => {
      if (!socket.destroyed) this.#awaitHead(socket);
    });
    response.writeHead(405, {
      "Content-Type": "text/plain; charset=utf-8",
      "X-Content-Type-Options": "nosniff",
      "Content-Length": body.length,
    });
    response.end(body);
  }

  #connect(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const cancel = new DialController();
    const gone = () => cancel.abort(new ProxyError("cancelled", "the client has gone"));
    const watch = new ClientWatch(socket, gone);
    this.#metrics.httpConnections.inc();
    socket.once("close", () => this.#metrics.httpConnections.dec());
    if (head.length > 0) socket.unshift(head);
    this.#dial(
      {
        id: randomDialId(),
        target: { protocol: "tcp", address: request.url ?? "" },
        signal: cancel.signal,
        accept: async () => {
          watch.stop();
          await writeHead(socket, "HTTP/1.1 200 Connection Established\r\n\r\n");
          return { duplex: socket, halfClose: true };
        },
        refuse: (error) => {
          watch.stop();
          this.#refuse(socket, error);
        },
      },
      socket,
    );
  }

  /** What is no request, or one too long. Node's own answer is followed by a close that may turn it into a reset. */
  #refuseHead(error: NodeJS.ErrnoException, socket: Socket): void {
    // What still comes is no request either, and is told again; one answer is enough.
    if (socket.writableEnded) return;
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    this.#stopWaiting(socket);
    const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
    if (status === 431) this.#metrics.refused("connect_head");
    this.#endWith(socket, `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`);
  }

  #refuse(socket: Socket, error: ProxyError): void {
    if (error.code === "cancelled") socket.destroy();
    else this.#endWith(socket, refusal(error));
  }

  #endWith(socket: Socket, answer: string): void {
    socket.on("error", () => {});
    socket.end(answer);
    socket.resume();
    const stop = this.#clock.after(lingerMs, () => socket.destroy());
    socket.once("close", stop);
  }
}

/**
 * Notices that a client leaves while its dial is pending: the socket is read, but what comes stays in its buffer.
 * A FIN before our answer counts as leaving.
 */
class ClientWatch {
  readonly #socket: Socket;
  readonly #onGone: () => void;
  readonly #onReadable = () => {};

  constructor(socket: Socket, onGone: () => void) {
    this.#socket = socket;
    this.#onGone = onGone;
    socket.on("readable", this.#onReadable).on("end", onGone).on("close", onGone).on("error", onGone);
  }

  stop(): void {
    this.#socket.off("readable", this.#onReadable).off("end", this.#onGone).off("close", this.#onGone);
    // The error listener stays: between this and the next owner's a reset must not end the process.
  }
}

/** Resolves once the kernel has the bytes; rejects if the client has gone. */
function writeHead(socket: Socket, head: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (cause?: Error) => reject(new ProxyError("cancelled", "the client has gone", { cause }));
    if (socket.destroyed || socket.readableEnded) return gone();
    socket.write(head, "latin1", (error) => (error ? gone(error) : resolve()));
  });
}

/** The reference's answers. None has a length: the body ends with the connection. */
function refusal(error: ProxyError): string {
  const reason = `${error.traits.http} ${STATUS_CODES[error.traits.http]}`;
  const plain = "Content-Type: text/plain; charset=utf-8";
  if (error.code === "no_agent") {
    return `HTTP/1.1 ${reason}\r\nContent-Type: text/plain\r\n\r\ncurrently no tunnels available: ${error.message}`;
  }
  if (error.code === "dial_timeout" && error.reportedBy === "server") {
    return `HTTP/1.1 ${reason}\r\n${plain}\r\n\r\nBackend dial timeout: ${error.message}\r\n`;
  }
  if (error.code === "agent_lost") {
    return `HTTP/1.1 ${reason}\r\n${plain}\r\n\r\nBackend context error: context canceled\r\n`;
  }
  return `HTTP/1.1 ${reason}\r\nConnection: close\r\n${plain}\r\n\r\n${error.message}`;
}

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { ClientGate } from "../client-gate.ts";
import { ProxyError } from "../errors.ts";
import { listenError } from "../listen-error.ts";
import type { Log } from "../log.ts";

/** What a handler may look at. */
export interface HttpQuestion {
  readonly query: URLSearchParams;
  /** The Host header; empty if there is none. */
  readonly host: string;
  /** Aborts when the client has left, or the listener closes, before there was an answer. */
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** `Content-Type` is plain text unless given. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asked whatever the method, as the reference's handlers are. */
export type HttpHandler = (question: HttpQuestion) => HttpAnswer | Promise<HttpAnswer>;

/** By path, without a query. */
export type HttpRoutes = ReadonlyMap<string, HttpHandler>;

export interface HttpListener {
  readonly address: { readonly host: string; readonly port: number };
  /** Stops listening and cuts what is open: who waits for an answer asks again elsewhere. */
  close(): Promise<void>;
}

/** The reference's limit for reading a head. */
const headTimeoutMs = 60_000;
/** The reference takes 1 MiB; nobody who asks for health or metrics sends that, and each connection may hold so much. */
const headMaxBytes = 16 * 1024;
/** More than probes and scrapers need, few enough to leave descriptors for the proxy. Past it the oldest goes that asks nothing. */
export const connectionsMax = 512;
/** With those that wait for an answer: what comes past it is not listened to. */
const waitingMax = 2 * connectionsMax;
/** Longer than the usual interval between two scrapes, so that these use one connection. */
const keepAliveTimeoutMs = 120_000;

/**
 * Serves a few routes by plain HTTP: health, readiness, metrics, profiles. `host` empty means all interfaces, port 0 any free one.
 * Rejects with a UsageError that begins with `label`, the flag or purpose of this listener, if the address cannot be bound.
 */
export async function startHttpListener(options: {
  readonly label: string;
  readonly host: string;
  readonly port: number;
  readonly routes: HttpRoutes;
  readonly log: Log;
}): Promise<HttpListener> {
  const { routes, log } = options;
  const server = createServer(
    {
      headersTimeout: headTimeoutMs,
      requestTimeout: headTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      maxHeaderSize: headMaxBytes,
    },
    (request, response) => {
      gate.use(request.socket, new Promise((resolve) => response.once("close", () => resolve())));
      void answer(routes, request, response, log);
    },
  );
  // Whoever connects and says nothing does not keep the kubelet from asking, who would end this process.
  const gate = new ClientGate<Socket>({ max: connectionsMax, onEvicted: (socket) => socket.destroy() });
  server.on("connection", (socket) => {
    gate.enter(socket);
    socket.once("close", () => gate.leave(socket));
  });
  server.maxConnections = waitingMax;
  await listen(server, options);
  server.on("error", (error) => log.warn({ err: error, label: options.label }, "cannot take a connection"));
  const { address, port } = server.address() as AddressInfo;
  return { address: { host: address, port }, close: () => close(server) };
}

async function listen(
  server: Server,
  { label, host, port }: { readonly label: string; readonly host: string; readonly port: number },
): Promise<void> {
  try {
    server.listen({ port, ...(host !== "" && { host }) });
    await once(server, "listening");
  } catch (error) {
    throw listenError(label, { host, port }, error as NodeJS.ErrnoException);
  }
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

async function answer(routes: HttpRoutes, request: IncomingMessage, response: ServerResponse, log: Log): Promise<void> {
  const { path, query } = splitTarget(request.url ?? "");
  const handler = routes.get(path) ?? notFound;
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  let reply: HttpAnswer;
  try {
    reply = await handler({ query, host: request.headers.host ?? "", signal: gone.signal });
  } catch (error) {
    log.error({ err: ProxyError.from(error), path }, "cannot answer an HTTP request");
    reply = { status: 500, body: "internal error\n" };
  }
  response.writeHead(reply.status, {
    "Content-Type": "text/plain; charset=utf-8",
    ...reply.headers,
    "Content-Length": Buffer.byteLength(reply.body),
    // A body that nobody reads would otherwise be received to its end before the next request.
    ...(request.complete || !hasBody(request) ? {} : { Connection: "close" }),
  });
  response.end(reply.body);
}

/** Go's answer. */
const notFound: HttpHandler = () => ({
  status: 404,
  body: "404 page not found\n",
  headers: { "X-Content-Type-Options": "nosniff" },
});

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;

/** Takes `/path?query` apart, also where a proxy's form `http://host/path` is used. */
function splitTarget(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const local = target.replace(/^https?:\/\/[^/?]*/i, "");
  const mark = local.indexOf("?");
  const path = mark === -1 ? local : local.slice(0, mark);
  return { path, query: new URLSearchParams(mark === -1 ? "" : local.slice(mark + 1)) };
}

import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { systemClock } from "../../../shared/clock.ts";
import { connectGrpc } from "../../../shared/grpc/client.ts";
import type { Metadata } from "../../../shared/grpc/metadata.ts";
import { GrpcServer } from "../../../shared/grpc/server.ts";
import type { GrpcCode } from "../../../shared/grpc/status.ts";
import type { GrpcClientCall, GrpcClientSession, GrpcServerCall, GrpcStream } from "../../../shared/grpc/stream.ts";
import { silentLog } from "../../../shared/log.ts";
import {
  type Fields,
  type Handlers,
  type Implementation,
  Inbox,
  pathOf,
  type TestClient,
  type TestClientCall,
  type TestServer,
  type TestServerCall,
} from "./peers.ts";

export const deps = { log: silentLog, clock: systemClock };

export interface Listening {
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
  /** Resolves when the listener and every socket it took have closed. */
  close(): Promise<void>;
}

/** A loopback TCP listener that hands each socket to `accept`. */
export async function listenTcp(accept: (socket: Socket) => void): Promise<Listening> {
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    accept(socket);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    sockets,
    close: () => new Promise((resolve) => listener.close(() => resolve())),
  };
}

/** A session over plain TCP. `elastic` is on, as at an agent. */
export function connectTcp(
  port: number,
  options: Partial<Parameters<typeof connectGrpc>[1]> = {},
): Promise<GrpcClientSession> {
  return connectGrpc(deps, {
    socket: () => connect(port, "127.0.0.1"),
    authority: "test.invalid",
    userAgent: "hawser-test/1",
    elastic: true,
    connectTimeoutMs: 10_000,
    ...options,
  });
}

export const hawser: Implementation = {
  name: "hawser",

  async serve(handlers: Handlers): Promise<TestServer> {
    const paths = Object.entries(handlers).map(([name, handler]): [string, (call: GrpcServerCall) => void] => [
      pathOf(name),
      (call) => void handler(adaptServerCall(call)),
    ]);
    const server = new GrpcServer(deps, { handlers: new Map(paths), role: "frontends" });
    const listening = await listenTcp((socket) => server.accept(socket));
    return {
      port: listening.port,
      async stop() {
        server.drain();
        await listening.close();
      },
      async kill() {
        server.abort("the test is over");
        await listening.close();
      },
    };
  },

  async connect(port: number): Promise<TestClient> {
    const session = await connectTcp(port);
    return {
      open(path, { fields, deadlineMs } = {}) {
        return adaptClientCall(
          session.open(path, {
            ...(fields === undefined ? {} : { metadata: toMetadata(fields) }),
            ...(deadlineMs === undefined ? {} : { deadlineMs }),
          }),
        );
      },
      async close() {
        session.abort("the test is over");
        await session.closed;
      },
    };
  },
};

const toMetadata = (fields: Fields): Metadata => new Map(Object.entries(fields));

function inboxOf(call: GrpcStream): Inbox {
  const inbox = new Inbox();
  call.start({
    onMessage: (message) => inbox.put(message),
    onEnd: () => inbox.end(),
    onClose: () => inbox.end(),
  });
  return inbox;
}

function adaptServerCall(call: GrpcServerCall): TestServerCall {
  const inbox = inboxOf(call);
  let finish: { code: number; message: string } | undefined;
  return {
    fields: Object.fromEntries(call.metadata),
    finished: call.closed.then(({ code, message }) => code === finish?.code && message === finish.message),
    send: (message) => void call.send(message),
    next: () => inbox.next(),
    sendHeaders: (fields) => call.sendHeaders(toMetadata(fields)),
    finish(status) {
      finish = status;
      call.finish({ code: status.code as GrpcCode, message: status.message });
    },
  };
}

function adaptClientCall(call: GrpcClientCall): TestClientCall {
  const inbox = inboxOf(call);
  return {
    headers: call.headers.then(
      (metadata) => Object.fromEntries(metadata),
      () => undefined,
    ),
    status: call.closed,
    send: (message) => void call.send(message),
    next: () => inbox.next(),
    end: () => call.end(),
    cancel: () => call.cancel("the test cancels"),
  };
}

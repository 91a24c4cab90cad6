import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { Connection } from "./connection.ts";
import { connectionWindowBytes, resetCodes, resetsBeforeDrain, respondAndEndOptions } from "./http2-options.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import type { MessageStream, StreamContext } from "./message-stream.ts";
import { metadataFromRaw } from "./metadata-wire.ts";
import type { SendGate } from "./send-gate.ts";
import type { SendArena } from "./send-queue.ts";
import { type CallRequest, ServerCall } from "./server-call.ts";
import { SettingsSender } from "./settings-sender.ts";
import { GrpcCode, GrpcError, type GrpcStatus } from "./status.ts";
import { statusToHeaders } from "./status-wire.ts";
import type { CallWatch, GrpcServerCall, GrpcServerSession } from "./stream.ts";
import { decodeTimeout } from "./timeout.ts";

export interface ServerSessionOptions {
  readonly arena: SendArena;
  readonly gate: SendGate;
  readonly handlers: ReadonlyMap<string, (call: GrpcServerCall) => void>;
  /** Whether to ask the client to go after many resets. */
  readonly drainOnResets: boolean;
  readonly keepalive?: KeepaliveOptions | undefined;
  /** The socket below, where that of the session is TLS. */
  readonly tcp?: Socket | undefined;
  readonly onLost: (session: ServerSession) => void;
}

/** One client's HTTP/2 connection: turns its streams into calls and hands them to the handlers. */
export class ServerSession implements GrpcServerSession, StreamContext {
  readonly socket: Socket;
  readonly arena: SendArena;
  readonly gate: SendGate;
  readonly #http2: ServerHttp2Session;
  readonly #options: ServerSessionOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #connection: Connection;
  readonly #settings: SettingsSender;
  readonly #calls = new Set<MessageStream>();
  readonly #unwatch: (() => void) | undefined;
  #resetCount = 0;

  constructor(
    deps: { readonly log: Log; readonly clock: Clock; readonly calls?: CallWatch },
    http2: ServerHttp2Session,
    socket: Socket,
    options: ServerSessionOptions,
  ) {
    this.#http2 = http2;
    this.#options = options;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.socket = socket;
    this.arena = options.arena;
    this.gate = options.gate;
    this.#settings = new SettingsSender(http2);
    this.#connection = new Connection(deps, http2, socket, {
      tcp: options.tcp,
      keepalive: options.keepalive,
      onLost: (message) => this.#onLost(message),
    });
    this.#unwatch = deps.calls?.addCalls(this.#calls);
    http2.setLocalWindowSize(connectionWindowBytes);
    http2.on("stream", (stream, headers, _flags, ...rest) => {
      // Node passes the raw header list as a fourth argument, which its types do not know.
      const [raw = []] = rest as unknown as [string[]?];
      this.#onStream(stream, headers, raw);
    });
  }

  get peer(): string {
    return this.#connection.peer;
  }

  get callCount(): number {
    return this.#calls.size;
  }

  get lost(): string | undefined {
    return this.#connection.lost;
  }

  get closed(): Promise<void> {
    return this.#connection.closed;
  }

  silentMs(): number {
    return this.#connection.silentMs();
  }

  onGoaway(listener: () => void): void {
    this.#connection.onGoaway(listener);
  }

  allowCalls(count: number): void {
    this.#settings.change({ maxConcurrentStreams: count });
  }

  remove(stream: MessageStream): void {
    this.#calls.delete(stream);
  }

  /**
   * One GOAWAY that names the last call taken. nghttp2 ignores what comes after it, and the client knows from the
   * number that those calls were not begun, and may open them elsewhere. The usual first GOAWAY with the largest id
   * is left out: Node cannot send it as a mere notice, so calls under way would be ignored and never answered.
   */
  drain(): void {
    if (!this.#http2.destroyed) this.#http2.close();
  }

  get roundTripMs(): number | undefined {
    return this.#connection.roundTripMs;
  }

  tuneWindows(): void {
    this.#connection.tuneWindows(this.#settings);
  }

  resetWhenSilent(): void {
    this.#connection.resetWhenSilent();
  }

  abort(reason: string): void {
    this.#connection.abort(reason);
  }

  #onLost(message: string): void {
    for (const call of this.#calls) call.connectionLost(message);
    this.#unwatch?.();
    this.#options.onLost(this);
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    stream.on("close", () => this.#countReset(stream));
    if (stream.destroyed || stream.closed) {
      stream.on("error", () => {});
      return;
    }
    const refusal = refusedByHttp(headers);
    if (refusal !== undefined) {
      refuse(stream, refusal);
      return;
    }
    const path = headers[":path"] ?? "";
    const handler = this.#options.handlers.get(path);
    if (handler === undefined) {
      refuse(stream, answer({ code: GrpcCode.UNIMPLEMENTED, message: `unknown method ${path}` }));
      return;
    }
    let request: CallRequest;
    try {
      const timeout = headers["grpc-timeout"];
      const timeoutMs = typeof timeout === "string" ? decodeTimeout(timeout) : undefined;
      request = { path, metadata: metadataFromRaw(raw), timeoutMs };
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      refuse(stream, answer(error));
      return;
    }
    const call = new ServerCall({ clock: this.#clock, context: this, session: this }, stream, request);
    this.#calls.add(call);
    try {
      handler(call);
    } catch (error) {
      this.#log.error({ err: error, peer: this.peer, path }, "handler of a call failed");
      call.finish({ code: GrpcCode.INTERNAL, message: "internal error" });
    }
  }

  #countReset(stream: ServerHttp2Stream): void {
    if (stream.rstCode === resetCodes.none || this.lost !== undefined || !this.#options.drainOnResets) return;
    this.#resetCount += 1;
    if (this.#resetCount !== resetsBeforeDrain) return;
    this.#log.info({ peer: this.peer, resetCount: this.#resetCount }, "session drains after many resets");
    this.drain();
  }
}

type Refusal = Record<string, string | number>;

/** What is not gRPC at all gets an answer in HTTP's words. */
function refusedByHttp(headers: IncomingHttpHeaders): Refusal | undefined {
  if (headers[":method"] !== "POST") return { ":status": 405, allow: "POST" };
  const contentType = headers["content-type"] ?? "";
  if (!/^application\/grpc(\+proto)?($|;)/i.test(contentType)) return { ":status": 415 };
  return undefined;
}

/** A call that ends with its headers. */
function answer(status: GrpcStatus): Refusal {
  return { ":status": 200, "content-type": "application/grpc", ...statusToHeaders(status) };
}

function refuse(stream: ServerHttp2Stream, headers: Refusal): void {
  stream.on("error", () => {});
  stream.respond(headers, respondAndEndOptions);
  // The body of the request is not wanted; it is read away until the reset has reached the client.
  stream.resume();
  setImmediate(() => {
    if (!stream.closed && !stream.destroyed) stream.close(resetCodes.none);
  });
}

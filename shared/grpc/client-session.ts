import type { ClientHttp2Session, OutgoingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { ClientCall } from "./client-call.ts";
import { Connection } from "./connection.ts";
import { connectionWindowBytes } from "./http2-options.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import type { MessageStream, StreamContext } from "./message-stream.ts";
import { emptyMetadata, type Metadata } from "./metadata.ts";
import { addMetadata } from "./metadata-wire.ts";
import type { SendGate } from "./send-gate.ts";
import { SendArena } from "./send-queue.ts";
import { SettingsSender } from "./settings-sender.ts";
import { GrpcCode, GrpcError } from "./status.ts";
import type { CallWatch, GrpcClientCall, GrpcClientSession } from "./stream.ts";
import { encodeTimeout } from "./timeout.ts";

export interface ClientSessionParts {
  readonly gate: SendGate;
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly userAgent: string;
  readonly keepalive?: KeepaliveOptions | undefined;
  /** The socket below, where that of the session is TLS. */
  readonly tcp?: Socket | undefined;
}

/** One HTTP/2 connection to a server, whose SETTINGS have come. */
export class ClientSession implements GrpcClientSession, StreamContext {
  readonly arena = new SendArena();
  readonly gate: SendGate;
  readonly #http2: ClientHttp2Session;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #settings: SettingsSender;
  readonly #baseHeaders: OutgoingHttpHeaders;
  readonly #calls = new Set<MessageStream>();

  constructor(
    deps: { readonly log: Log; readonly clock: Clock; readonly calls?: CallWatch },
    http2: ClientHttp2Session,
    socket: Socket,
    parts: ClientSessionParts,
  ) {
    this.#http2 = http2;
    this.#clock = deps.clock;
    this.gate = parts.gate;
    this.#baseHeaders = {
      ":method": "POST",
      ":scheme": parts.scheme,
      ":authority": parts.authority,
      te: "trailers",
      "content-type": "application/grpc",
      "user-agent": parts.userAgent,
    };
    this.#settings = new SettingsSender(http2);
    const unwatch = deps.calls?.addCalls(this.#calls);
    this.#connection = new Connection(deps, http2, socket, {
      tcp: parts.tcp,
      keepalive: parts.keepalive,
      onLost: (message) => {
        unwatch?.();
        for (const call of this.#calls) call.connectionLost(message);
      },
    });
    http2.setLocalWindowSize(connectionWindowBytes);
  }

  get peer(): string {
    return this.#connection.peer;
  }

  get lost(): string | undefined {
    return this.#connection.lost;
  }

  get usable(): boolean {
    return this.lost === undefined && !this.#http2.closed;
  }

  get closed(): Promise<void> {
    return this.#connection.closed;
  }

  silentMs(): number {
    return this.#connection.silentMs();
  }

  /** Over the server's limit of concurrent calls, a call waits without a sign: it counts from its headers on. */
  open(
    path: string,
    options: { readonly metadata?: Metadata; readonly deadlineMs?: number; readonly signal?: AbortSignal } = {},
  ): GrpcClientCall {
    if (!this.usable) throw new GrpcError(GrpcCode.UNAVAILABLE, this.lost ?? "the connection is being closed");
    const { metadata = emptyMetadata, deadlineMs } = options;
    const headers: OutgoingHttpHeaders = { ...this.#baseHeaders, ":path": path };
    if (deadlineMs !== undefined) headers["grpc-timeout"] = encodeTimeout(deadlineMs);
    addMetadata(headers, metadata);
    const stream = this.#http2.request(headers, { endStream: false });
    const call = new ClientCall({ clock: this.#clock, context: this }, stream, options);
    this.#calls.add(call);
    return call;
  }

  onGoaway(listener: () => void): void {
    this.#connection.onGoaway(listener);
  }

  keepalive(options: KeepaliveOptions): void {
    this.#connection.keepalive(options);
  }

  async close(): Promise<void> {
    if (!this.#http2.destroyed) this.#http2.close();
    await this.closed;
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

  remove(stream: MessageStream): void {
    this.#calls.delete(stream);
  }
}

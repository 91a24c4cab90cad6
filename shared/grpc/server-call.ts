import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Clock } from "../clock.ts";
import { resetCodes, respondAndEndOptions, respondOptions } from "./http2-options.ts";
import { MessageStream, type StreamContext } from "./message-stream.ts";
import { emptyMetadata, type Metadata } from "./metadata.ts";
import { addMetadata } from "./metadata-wire.ts";
import { GrpcCode, type GrpcError, type GrpcStatus } from "./status.ts";
import { statusToHeaders } from "./status-wire.ts";
import type { GrpcServerCall, GrpcServerSession } from "./stream.ts";

/** Time for the trailers of a call that this end broke off, before the stream is reset: its peer may not be reading. */
const failGraceMs = 1_000;

/** What the request said. */
export interface CallRequest {
  readonly path: string;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
}

/**
 * The server's end of a call. After `finish` no more messages are delivered. The call settles when its HTTP/2 stream
 * has closed: with the status of `finish` if the trailers went out, with CANCELLED if the client reset it before.
 */
export class ServerCall extends MessageStream implements GrpcServerCall {
  readonly path: string;
  readonly metadata: Metadata;
  readonly deadlineAt: number | undefined;
  readonly session: GrpcServerSession;
  readonly #stream: ServerHttp2Stream;
  readonly #clock: Clock;
  #finish: GrpcStatus | undefined;
  /** The status is on its way; what the client does after that changes nothing. */
  #answered = false;
  #cancelTimer: () => void = () => {};

  constructor(
    deps: { readonly clock: Clock; readonly context: StreamContext; readonly session: GrpcServerSession },
    stream: ServerHttp2Stream,
    request: CallRequest,
  ) {
    super(stream, deps.context);
    this.#clock = deps.clock;
    this.#stream = stream;
    this.session = deps.session;
    this.path = request.path;
    this.metadata = request.metadata;
    const { timeoutMs } = request;
    this.deadlineAt = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
    if (timeoutMs !== undefined) {
      this.#cancelTimer = this.#clock.after(timeoutMs, () =>
        this.fail({ code: GrpcCode.DEADLINE_EXCEEDED, message: "the deadline of the call has passed" }),
      );
    }
    stream.on("wantTrailers", () => this.#sendTrailers());
  }

  override send(...pieces: readonly Uint8Array[]): boolean {
    if (this.writable) this.sendHeaders();
    return super.send(...pieces);
  }

  /** Throws GrpcError INTERNAL if the metadata cannot be sent. */
  sendHeaders(metadata: Metadata = emptyMetadata): void {
    const stream = this.#stream;
    if (stream.headersSent || stream.closed || stream.destroyed) return;
    stream.respond(responseHeaders(metadata), respondOptions);
  }

  override connectionLost(message: string): void {
    this.settle(this.#answered ? this.#statusToSend() : { code: GrpcCode.UNAVAILABLE, message });
  }

  finish(status: GrpcStatus): void {
    if (this.#finish !== undefined || this.settled) return;
    this.#finish = status;
    this.discardIncoming();
    this.endSending();
  }

  fail(status: GrpcStatus): void {
    if (this.settled) return;
    // A call that was to end well does not, if messages of it are dropped.
    if (this.#finish !== undefined && !this.#answered && this.bufferedBytes > 0) this.#finish = status;
    this.dropQueued();
    this.finish(status);
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(failGraceMs, () => this.reset(status));
  }

  reset(status: GrpcStatus): void {
    if (this.settled) return;
    this.settle(status);
    if (!this.#stream.closed) this.#stream.close(resetCodes.cancel);
  }

  protected override get broken(): boolean {
    return this.#stream.aborted || this.context.lost !== undefined;
  }

  /**
   * Node's HTTP/2 clients, grpc-js among them, cancel a call with END_STREAM and then RST_STREAM. The two come
   * together, so an immediate later the reset is known, and the cancelled call is not taken for a half-closed one.
   */
  protected override onReadableEnd(): void {
    setImmediate(() => super.onReadableEnd());
  }

  protected override onSendingEnded(): void {
    const stream = this.#stream;
    if (stream.closed || stream.destroyed) return;
    if (stream.headersSent) {
      stream.end();
      return;
    }
    this.#answered = true;
    stream.respond(
      { ...responseHeaders(emptyMetadata), ...statusToHeaders(this.#statusToSend()) },
      respondAndEndOptions,
    );
    this.#release();
  }

  protected override onAllReceived(): void {
    this.reportEnd();
  }

  protected override onBadMessage(error: GrpcError): void {
    this.fail(error);
  }

  protected override onHttp2Close(): void {
    const { lost } = this.context;
    if (this.#answered) this.settle(this.#statusToSend());
    else if (lost !== undefined) this.connectionLost(lost);
    else this.settle({ code: GrpcCode.CANCELLED, message: `the client reset the call (code ${this.#stream.rstCode})` });
  }

  protected override onSettled(): void {
    this.#cancelTimer();
  }

  #statusToSend(): GrpcStatus {
    return this.#finish ?? { code: GrpcCode.UNKNOWN, message: "" };
  }

  #sendTrailers(): void {
    this.#answered = true;
    this.#stream.sendTrailers(statusToHeaders(this.#statusToSend()));
    this.#release();
  }

  /**
   * END_STREAM from a server ends the call, but HTTP/2 keeps the stream until the client ends its half as well, which
   * it need not do: RST_STREAM NO_ERROR says that the rest of the request is not wanted. Node submits trailers in a
   * setImmediate of its own, so this one comes after them.
   */
  #release(): void {
    setImmediate(() => {
      if (!this.peerEnded && !this.#stream.closed && !this.#stream.destroyed) this.#stream.close(resetCodes.none);
    });
  }
}

function responseHeaders(metadata: Metadata): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ":status": 200, "content-type": "application/grpc" };
  addMetadata(headers, metadata);
  return headers;
}

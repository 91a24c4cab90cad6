import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import type { Clock } from "../clock.ts";
import { resetCodes } from "./http2-options.ts";
import { MessageStream, type StreamContext } from "./message-stream.ts";
import type { Metadata } from "./metadata.ts";
import { metadataFromRaw } from "./metadata-wire.ts";
import { GrpcCode, GrpcError, type GrpcStatus } from "./status.ts";
import { grpcCodeOfHttpStatus, grpcCodeOfReset, statusFromHeaders } from "./status-wire.ts";
import type { GrpcClientCall } from "./stream.ts";
import { timerMaxMs } from "./timeout.ts";

const endedWithoutStatus: GrpcStatus = {
  code: GrpcCode.INTERNAL,
  message: "the server ended the call without a status",
};

/** HTTP/2's END_STREAM flag. */
const endStreamFlag = 1;

/**
 * The client's end of a call. It settles with the status of the trailers, once the messages before them have been
 * delivered; or, without trailers, with what the end of the HTTP/2 stream or of the connection means.
 */
export class ClientCall extends MessageStream implements GrpcClientCall {
  readonly headers: Promise<Metadata>;
  readonly #stream: ClientHttp2Stream;
  #resolveHeaders: (metadata: Metadata) => void = () => {};
  #rejectHeaders: (error: GrpcError) => void = () => {};
  /** What the trailers said, or the answer's HTTP status where that says that none will come. */
  #announced: GrpcStatus | undefined;
  #cancelDeadline: () => void = () => {};
  #signal: AbortSignal | undefined;
  readonly #onAbort = (): void =>
    this.cancel(String((this.#signal?.reason as Error | undefined)?.message ?? "aborted"));

  constructor(
    deps: { readonly clock: Clock; readonly context: StreamContext },
    stream: ClientHttp2Stream,
    options: { readonly deadlineMs?: number; readonly signal?: AbortSignal },
  ) {
    super(stream, deps.context);
    this.#stream = stream;
    this.headers = new Promise((resolve, reject) => {
      this.#resolveHeaders = resolve;
      this.#rejectHeaders = reject;
    });
    // Who does not look at the headers learns of the failure from `closed`.
    this.headers.catch(() => {});
    stream.on("response", (headers, flags, ...rest) => {
      // Node passes the raw header list as a third argument, which its types do not know.
      const [raw = []] = rest as unknown as [string[]?];
      this.#onResponse(headers, flags, raw);
    });
    stream.on("trailers", (headers) => this.#onTrailers(headers));
    const { deadlineMs, signal } = options;
    if (deadlineMs !== undefined) {
      this.#cancelDeadline = deps.clock.after(Math.min(deadlineMs, timerMaxMs), () =>
        this.#giveUp({ code: GrpcCode.DEADLINE_EXCEEDED, message: `no end of the call within ${deadlineMs} ms` }),
      );
    }
    if (signal !== undefined) {
      this.#signal = signal;
      signal.addEventListener("abort", this.#onAbort, { once: true });
      if (signal.aborted) queueMicrotask(this.#onAbort);
    }
  }

  /** Trailers that say OK do not count here: messages before them were still to be delivered. */
  override connectionLost(message: string): void {
    const announced = this.#announced;
    const failed = announced !== undefined && announced.code !== GrpcCode.OK;
    this.settle(failed ? announced : { code: GrpcCode.UNAVAILABLE, message });
  }

  end(): void {
    this.endSending();
  }

  cancel(reason: string): void {
    this.#giveUp({ code: GrpcCode.CANCELLED, message: reason });
  }

  /** Once the trailers have come, a reset after them changes nothing. */
  protected override get broken(): boolean {
    return this.#announced === undefined && (this.#stream.closed || this.#stream.destroyed);
  }

  protected override onSendingEnded(): void {
    this.#stream.end();
  }

  protected override onAllReceived(): void {
    const status = this.#announced;
    if (status === undefined) {
      // Node emits "trailers" before the "end" that they bring, so none will come.
      this.#giveUp(endedWithoutStatus);
      return;
    }
    if (status.code === GrpcCode.OK) this.reportEnd();
    this.settle(status);
  }

  protected override onBadMessage(error: GrpcError): void {
    this.#giveUp(error);
  }

  protected override onHttp2Close(): void {
    const { lost } = this.context;
    const { rstCode } = this.#stream;
    if (this.#announced !== undefined && this.peerEnded) return; // It settles when the receiver has taken the rest.
    if (this.#announced !== undefined && this.#announced.code !== GrpcCode.OK) this.settle(this.#announced);
    else if (lost !== undefined) this.settle({ code: GrpcCode.UNAVAILABLE, message: lost });
    else if (rstCode !== resetCodes.none) {
      this.settle({ code: grpcCodeOfReset(rstCode), message: `the server reset the call (code ${rstCode})` });
    } else this.settle(endedWithoutStatus);
  }

  protected override onSettled(): void {
    const stream = this.#stream;
    this.#cancelDeadline();
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#rejectHeaders(new GrpcError(GrpcCode.UNAVAILABLE, "the call ended before its headers"));
    if (!stream.closed && !stream.destroyed && !stream.writableFinished) stream.close(resetCodes.cancel);
  }

  #onResponse(headers: IncomingHttpHeaders & IncomingHttpStatusHeader, flags: number, raw: readonly string[]): void {
    if (this.settled) return;
    const ended = (flags & endStreamFlag) !== 0;
    const httpStatus = headers[":status"] ?? 0;
    const contentType = headers["content-type"] ?? "";
    const status = ended ? statusOf(headers) : undefined;
    if (status !== undefined) {
      this.#endWithHeaders(status, raw);
    } else if (httpStatus !== 200) {
      this.#giveUp({
        code: grpcCodeOfHttpStatus(httpStatus),
        message: `the peer answered with HTTP status ${httpStatus}`,
      });
    } else if (!/^application\/grpc($|[+;])/i.test(contentType)) {
      this.#giveUp({ code: GrpcCode.UNKNOWN, message: "the peer's answer is not gRPC" });
    } else {
      this.#takeHeaders(raw);
    }
  }

  /** Trailers-only: no message can come before, so it settles at once, also while nobody receives. */
  #endWithHeaders(status: GrpcStatus, raw: readonly string[]): void {
    if (status.code === GrpcCode.OK) {
      this.#takeHeaders(raw);
      this.reportEnd();
    } else {
      this.#rejectHeaders(new GrpcError(status.code, status.message));
    }
    this.settle(status);
  }

  #takeHeaders(raw: readonly string[]): void {
    try {
      this.#resolveHeaders(metadataFromRaw(raw));
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      this.#giveUp(error);
    }
  }

  #onTrailers(headers: IncomingHttpHeaders): void {
    this.#announced = statusOf(headers) ?? { code: GrpcCode.INTERNAL, message: "the trailers hold no status" };
    this.advance();
  }

  /** Ends the call from this side: settled at once, RST_STREAM CANCEL on the wire. */
  #giveUp(status: GrpcStatus): void {
    if (this.settled) return;
    this.#rejectHeaders(new GrpcError(status.code, status.message));
    this.settle(status);
    if (!this.#stream.closed && !this.#stream.destroyed) this.#stream.close(resetCodes.cancel);
  }
}

function statusOf(headers: IncomingHttpHeaders): GrpcStatus | undefined {
  const { "grpc-status": code, "grpc-message": message } = headers;
  return statusFromHeaders(code?.toString(), message?.toString());
}

import type { Http2Stream } from "node:http2";
import { MessageParser, messageMaxBytes } from "./framing.ts";
import type { GateWaiter, SendGate } from "./send-gate.ts";
import { type SendArena, SendQueue } from "./send-queue.ts";
import type { GrpcError, GrpcStatus } from "./status.ts";
import type { GrpcReceiver, GrpcStream, WatchedCall } from "./stream.ts";

/** From here on `send` returns false. It also bounds what HTTP/2 is given of one stream ahead of its turn. */
export const sendLimitBytes = 64 * 1024;

/** What a stream needs of its session. */
export interface StreamContext {
  readonly arena: SendArena;
  readonly gate: SendGate;
  /** Why the connection has gone, once it has: what happens to its streams after that says nothing about a call. */
  readonly lost: string | undefined;
  /** Forgets a stream that has settled. */
  remove(stream: MessageStream): void;
}

/**
 * What both ends of a call share: framing, gathering, backpressure both ways, and settling once.
 *
 * Sending: a message is written at once, unless a write is under way; what comes meanwhile waits for its end, and is written
 * together. Receiving: Node's chunks go into the parser, and from there to the receiver for as long
 * as it takes them. The roles (server-call, client-call) add headers, status and cancelling.
 */
export abstract class MessageStream implements GrpcStream, WatchedCall, GateWaiter {
  readonly closed: Promise<GrpcStatus>;
  protected readonly context: StreamContext;
  readonly #http2: Http2Stream;
  #settleClosed: (status: GrpcStatus) => void = () => {};
  #status: GrpcStatus | undefined;

  readonly #queue: SendQueue;
  readonly #onWritten: () => void;
  #sendState: "open" | "ending" | "ended" = "open";
  #writingBytes = 0;
  #wantsDrain = false;
  readonly #flushWaiters: (() => void)[] = [];

  readonly #parser = new MessageParser({
    maxBytes: () => this.#receiver?.messageMaxBytes?.() ?? messageMaxBytes,
    headOf: (start, messageBytes) => this.#receiver?.bulkHead?.(start, messageBytes) ?? 0,
  });
  #receiver: GrpcReceiver | undefined;
  #started = false;
  /** `waiting`: nobody listens yet. `discarding`: what still comes is of no interest. */
  #receiveState: "waiting" | "flowing" | "paused" | "discarding" = "waiting";
  #delivering = false;
  #peerEnded = false;
  #endReported = false;

  protected constructor(http2: Http2Stream, context: StreamContext) {
    this.#http2 = http2;
    this.context = context;
    this.#queue = new SendQueue(context.arena);
    this.#onWritten = () => this.#written();
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    http2.on("end", () => this.onReadableEnd());
    http2.on("close", () => {
      if (this.#status === undefined) this.onHttp2Close();
    });
    http2.on("aborted", () => setImmediate(() => this.#aborted()));
    // "close" follows every error, and what the call makes of it is decided there.
    http2.on("error", () => {});
  }

  get bufferedBytes(): number {
    return this.#queue.bytes + this.#writingBytes;
  }

  get heldBytes(): number {
    if (this.#status !== undefined) return 0;
    const received = this.#started ? this.#http2.readableLength + this.#parser.waitingBytes : 0;
    return received + this.bufferedBytes;
  }

  /** All that has come is, while nobody listens: of a peer that is not admitted yet. */
  get unfinishedBytes(): number {
    if (this.#status !== undefined) return 0;
    return this.#started ? this.#parser.unfinishedBytes : this.#http2.readableLength;
  }

  refuseUnfinished(error: GrpcError): void {
    if (this.#status === undefined) this.onBadMessage(error);
  }

  get writable(): boolean {
    return this.#sendState === "open";
  }

  send(...pieces: readonly Uint8Array[]): boolean {
    if (this.#sendState !== "open") return false;
    this.#queue.add(pieces);
    this.#flush();
    const { gate } = this.context;
    const isGateFull = gate.fullFor(this.bufferedBytes);
    if (this.bufferedBytes < sendLimitBytes && !isGateFull) return true;
    this.#wantsDrain = true;
    if (isGateFull) gate.wait(this);
    return false;
  }

  flushed(): Promise<void> {
    if (this.bufferedBytes === 0) return Promise.resolve();
    return new Promise((resolve) => this.#flushWaiters.push(resolve));
  }

  pause(): void {
    if (this.#receiveState !== "flowing" && this.#receiveState !== "waiting") return;
    this.#receiveState = "paused";
    this.#http2.pause();
  }

  resume(): void {
    if (this.#receiveState !== "paused") return;
    if (this.#receiver === undefined) {
      // `start` lets it flow; without a listener Node would drop what comes.
      this.#receiveState = "waiting";
      return;
    }
    this.#receiveState = "flowing";
    process.nextTick(MessageStream.#advanceLater, this);
    this.#http2.resume();
  }

  start(receiver: GrpcReceiver): void {
    if (this.#started) throw new Error("a stream has one receiver");
    this.#started = true;
    queueMicrotask(() => {
      this.#receiver = receiver;
      if (this.#status !== undefined) {
        receiver.onClose(this.#status);
        return;
      }
      this.#http2.on("data", (chunk: Buffer) => this.#received(chunk));
      if (this.#receiveState === "waiting") {
        this.#receiveState = "flowing";
        this.#http2.resume();
      }
      this.#offerDrain();
    });
  }

  /** The session's gate has opened: what waited for it may go. */
  gateOpened(): void {
    this.#flush();
    this.#offerDrain();
  }

  /** The session's connection has gone, or was aborted: the call settles now. */
  abstract connectionLost(message: string): void;

  /** Whether the HTTP/2 stream has been reset or lost, so that its end is not an END_STREAM of the peer's. */
  protected abstract readonly broken: boolean;

  /** The HTTP/2 stream has closed and the call has not settled. The role decides what that means, and settles it. */
  protected abstract onHttp2Close(): void;

  /** Everything sent before `endSending` has been accepted. */
  protected abstract onSendingEnded(): void;

  /** END_STREAM has come and every message before it has been delivered. May be called again. */
  protected abstract onAllReceived(): void;

  /** A message that cannot be taken. The role ends the call with it. */
  protected abstract onBadMessage(error: GrpcError): void;

  /** The call has just settled: timers, listeners and what is left of the HTTP/2 stream are the role's to end. */
  protected abstract onSettled(): void;

  /** Takes the end of Node's readable side for END_STREAM, unless the stream broke: Node ends it then, too. */
  protected onReadableEnd(): void {
    if (this.#status !== undefined || this.broken) return;
    this.#peerEnded = true;
    this.advance();
  }

  /** Takes no more messages; `onSendingEnded` follows once what is queued has been accepted. */
  protected endSending(): void {
    if (this.#sendState !== "open") return;
    this.#sendState = "ending";
    if (this.bufferedBytes === 0) this.#sendingEnded();
    else this.#flush();
  }

  /** Drops what HTTP/2 has not been given yet. */
  protected dropQueued(): void {
    this.#queue.take();
    if (this.#sendState === "ending" && this.bufferedBytes === 0) this.#sendingEnded();
  }

  /** No further message is delivered; what comes is read and dropped, so that the HTTP/2 stream can end. */
  protected discardIncoming(): void {
    if (this.#receiveState === "discarding") return;
    this.#receiveState = "discarding";
    this.#http2.resume();
  }

  /** Reports the peer's half-close to the receiver, once. */
  protected reportEnd(): void {
    if (this.#endReported) return;
    this.#endReported = true;
    this.#receiver?.onEnd?.();
  }

  /** True once END_STREAM has been read. */
  protected get peerEnded(): boolean {
    return this.#peerEnded;
  }

  protected get settled(): boolean {
    return this.#status !== undefined;
  }

  /** Ends the call here and now. The first one counts. */
  protected settle(status: GrpcStatus): void {
    if (this.#status !== undefined) return;
    this.#status = status;
    this.#sendState = "ended";
    this.dropQueued();
    this.discardIncoming();
    this.context.gate.forget(this);
    this.context.remove(this);
    this.onSettled();
    this.#tellFlushed();
    this.#settleClosed(status);
    this.#receiver?.onClose(status);
  }

  /** Delivers what can be delivered, then the end if it has been reached. */
  protected advance(): void {
    if (this.#delivering || this.#receiver === undefined) return;
    this.#delivering = true;
    try {
      while (this.#receiveState === "flowing") {
        const message = this.#nextMessage();
        if (message === undefined) break;
        if (this.#parser.isBulk) this.#receiver.onBulk?.(message);
        else this.#receiver.onMessage(message);
      }
    } finally {
      this.#delivering = false;
    }
    if (this.#receiveState === "flowing" && this.#peerEnded) this.onAllReceived();
  }

  #nextMessage(): Buffer | undefined {
    try {
      const message = this.#parser.next();
      if (message === undefined && this.#peerEnded) this.#parser.end();
      return message;
    } catch (error) {
      this.onBadMessage(error as GrpcError);
      return undefined;
    }
  }

  #received(chunk: Buffer): void {
    if (this.#receiveState === "discarding") return;
    this.#parser.push(chunk);
    this.advance();
  }

  /** Node keeps a stream that was reset with NO_ERROR until a write that was under way has ended, which it never does then. */
  #aborted(): void {
    if (this.#status !== undefined || !this.broken) return;
    this.onHttp2Close();
    this.#http2.destroy();
  }

  #flush(): void {
    if (this.#writingBytes > 0 || this.#queue.bytes === 0) return;
    const { gate } = this.context;
    if (gate.fullFor(this.#queue.bytes)) {
      gate.wait(this);
      return;
    }
    this.#writingBytes = this.#queue.bytes;
    gate.given(this, this.#writingBytes);
    const chunks = this.#queue.take();
    const last = chunks.length - 1;
    const http2 = this.#http2;
    if (last > 0) http2.cork();
    for (let at = 0; at < last; at++) http2.write(chunks[at]);
    http2.write(chunks[last], this.#onWritten);
    if (last > 0) http2.uncork();
  }

  /** HTTP/2 has accepted the write that was under way; or the stream broke, which "close" tells. */
  #written(): void {
    this.#writingBytes = 0;
    if (this.#status !== undefined) return;
    this.context.gate.taken(this);
    this.#flush();
    if (this.bufferedBytes === 0) this.#tellFlushed();
    if (this.#sendState === "ending" && this.bufferedBytes === 0) this.#sendingEnded();
    else this.#offerDrain();
  }

  #tellFlushed(): void {
    if (this.#flushWaiters.length === 0) return;
    for (const resolve of this.#flushWaiters.splice(0)) resolve();
  }

  #sendingEnded(): void {
    this.#sendState = "ended";
    this.onSendingEnded();
  }

  #offerDrain(): void {
    if (!this.#wantsDrain || this.#receiver === undefined || this.#sendState !== "open") return;
    if (this.context.gate.fullFor(this.bufferedBytes)) this.context.gate.wait(this);
    else if (this.bufferedBytes < sendLimitBytes) {
      this.#wantsDrain = false;
      this.#receiver.onDrain?.();
    }
  }

  static #advanceLater(stream: MessageStream): void {
    stream.advance();
  }
}

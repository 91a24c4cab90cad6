import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { KeepaliveOptions } from "./keepalive.ts";
import type { Metadata } from "./metadata.ts";
import type { GrpcError, GrpcStatus } from "./status.ts";

/** A call as whoever counts the memory of all calls sees it. */
export interface WatchedCall {
  /** As of a stream. */
  readonly heldBytes: number;
  /** Of a message whose rest has not come. */
  readonly unfinishedBytes: number;
  /** Ends the call, whose message is not waited for any more. */
  refuseUnfinished(error: GrpcError): void;
}

/** Is shown the calls of each session, which come and go in it; the returned function takes them off. */
export interface CallWatch {
  addCalls(calls: Iterable<WatchedCall>): () => void;
}

/**
 * One gRPC call that streams messages both ways, as either end sees it.
 * A message is the bytes inside gRPC's five-byte frame; the frame itself stays inside this folder.
 */
export interface GrpcStream {
  /**
   * Queues one message, given as pieces that follow each other. Messages leave in call order: the first at once, and those that
   * come until HTTP/2 has taken it together after that. Pieces of 1 KiB and more are not copied: leave them alone from here on.
   * Returns false when `bufferedBytes` has reached 64 KiB, or it has to wait since the session has enough to send; then wait
   * for `onDrain`. The message is queued all the same.
   * After the stream has closed, or this side has ended it, the message is dropped and false is returned.
   */
  send(...pieces: readonly Uint8Array[]): boolean;
  /** Bytes that `send` took and HTTP/2 has not yet accepted. */
  readonly bufferedBytes: number;
  /** Those, and bytes of whole messages that came and were not delivered. */
  readonly heldBytes: number;
  /** Resolves when nothing is buffered any more, or the stream has closed. Never rejects. */
  flushed(): Promise<void>;
  /** True from the start until this side ended the stream or it closed. */
  readonly writable: boolean;
  /** Stops delivery before the next message, also in the middle of a chunk; HTTP/2's window then stops the peer. */
  pause(): void;
  /** Delivers what waits, in the calling turn or later, and goes on. */
  resume(): void;
  /**
   * Names the receiver. Call it once; what came earlier waits for it and is delivered from the next microtask on.
   */
  start(receiver: GrpcReceiver): void;
  /** How the call ended. Settles once for every call, whatever happens, and never rejects. */
  readonly closed: Promise<GrpcStatus>;
}

/** Callbacks of one stream. They run one at a time, none after `onClose`. */
export interface GrpcReceiver {
  /** Of the longest message that may come now; a longer one ends the call before its bytes are kept. 4 MiB if left out. */
  messageMaxBytes?(): number;
  /** `message` may lie inside a larger read buffer that it keeps alive: copy small ones that are held for long. */
  onMessage(message: Buffer): void;
  /**
   * With this, a long message that comes in several chunks can be had chunk by chunk, which saves a copy of it: says how many
   * bytes at its start are not to be passed to `onBulk`; 0 to get it whole. `start` is what has come of `messageBytes`.
   */
  bulkHead?(start: Buffer, messageBytes: number): number;
  /** The next piece of such a message, without its head. It lies in a larger buffer, as a message may. */
  onBulk?(piece: Buffer): void;
  /** After `send` returned false: HTTP/2 has accepted so much of what was queued that less than 64 KiB is left. */
  onDrain?(): void;
  /** The peer sends no more (END_STREAM), after its last message. Not called when the call broke. */
  onEnd?(): void;
  /** The last callback. */
  onClose(status: GrpcStatus): void;
}

/** A call as its server sees it. */
export interface GrpcServerCall extends GrpcStream {
  readonly path: string;
  readonly metadata: Metadata;
  /** Absolute time (`Date.now()` scale) from the caller's `grpc-timeout`; the call ends by itself with DEADLINE_EXCEEDED then. */
  readonly deadlineAt: number | undefined;
  readonly session: GrpcServerSession;
  /** Sends the response headers now. Without it they go with the first message. A second call does nothing. */
  sendHeaders(metadata?: Metadata): void;
  /**
   * Flushes what was sent, then the trailers. Legal at any time; the first one counts. No message is delivered after it.
   * It waits for a client that does not read: to be rid of such a one at once, abort its session.
   */
  finish(status: GrpcStatus): void;
  /** As `finish`, but now: what is queued is dropped, and a client whose window is full is reset after a second. */
  fail(status: GrpcStatus): void;
  /** Settles with `status` and resets the stream, without trailers: a client learns of it at once, also one that has stopped reading. */
  reset(status: GrpcStatus): void;
}

/** A call as its client sees it. */
export interface GrpcClientCall extends GrpcStream {
  /** The response headers; rejects with a GrpcError if the call ends before they come. */
  readonly headers: Promise<Metadata>;
  /** Half-closes: this side sends no more. */
  end(): void;
  /** RST_STREAM CANCEL, now; the call closes with CANCELLED and `reason`. */
  cancel(reason: string): void;
}

/** One HTTP/2 connection as its server sees it; the state that belongs to a peer hangs on it. */
export interface GrpcServerSession {
  readonly socket: Socket | TLSSocket;
  /** `host:port` of the peer, or `unix` */
  readonly peer: string;
  /** Open calls. */
  readonly callCount: number;
  /** Milliseconds since a byte came from the peer. */
  silentMs(): number;
  /** Called once if the peer sends GOAWAY: calls that run go on, but Node closes the session behind them and takes no more. */
  onGoaway(listener: () => void): void;
  /** How many concurrent calls the peer may have from now on (SETTINGS_MAX_CONCURRENT_STREAMS). */
  allowCalls(count: number): void;
  /** From now on what the peer may send ahead follows the round trip. The peer must bear a PING each 15 s. */
  tuneWindows(): void;
  /**
   * From now on a peer that is given up for its silence is told by a reset. It has to notice a silence by itself: one whose
   * network came back later would never hear of a lost reset, while the kernel repeats an orderly end for a minute or two.
   */
  resetWhenSilent(): void;
  /** The shortest that was measured, in milliseconds; undefined before, and where windows are not tuned. */
  readonly roundTripMs: number | undefined;
  /** GOAWAY NO_ERROR; calls that run go on, the session closes after the last. Later ones are refused as not begun. */
  drain(): void;
  /** Ends everything now: the HTTP/2 session, and after a grace of 250 ms the raw socket, since a vanished peer leaves it open otherwise. */
  abort(reason: string): void;
  readonly closed: Promise<void>;
}

/** One HTTP/2 connection as its client sees it. */
export interface GrpcClientSession {
  readonly peer: string;
  /** True until GOAWAY came, `close` or `abort` was called, or the connection broke: then `open` throws. */
  readonly usable: boolean;
  silentMs(): number;
  /**
   * Opens a call and sends its request headers at once. Throws GrpcError: UNAVAILABLE if the session is not usable,
   * INTERNAL if the metadata cannot be sent.
   * `deadlineMs` travels as `grpc-timeout` and is enforced here too.
   */
  open(
    path: string,
    options?: { readonly metadata?: Metadata; readonly deadlineMs?: number; readonly signal?: AbortSignal },
  ): GrpcClientCall;
  /** Called once if the peer sends GOAWAY; calls that run go on. */
  onGoaway(listener: () => void): void;
  /** Replaces what `connectGrpc` was given: who is at the other end is often known only once a call was answered. */
  keepalive(options: KeepaliveOptions): void;
  /** Both as of a server's session. */
  tuneWindows(): void;
  resetWhenSilent(): void;
  readonly roundTripMs: number | undefined;
  /** Waits for open calls, then closes the connection. */
  close(): Promise<void>;
  /** Ends everything now; open calls close with UNAVAILABLE. Safe to call twice. */
  abort(reason: string): void;
  readonly closed: Promise<void>;
}

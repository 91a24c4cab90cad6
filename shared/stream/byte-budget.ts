import type { Clock } from "../clock.ts";
import type { ErrorCode } from "../errors.ts";
import { GrpcCode, GrpcError } from "../grpc/status.ts";
import type { CallWatch, WatchedCall } from "../grpc/stream.ts";
import type { Log } from "../log.ts";

/** What a budget tells of itself. */
export interface HeldFigures {
  /** Bytes that this process holds now. */
  readonly heldBytes: number;
  /** Connections whose reader has taken nothing for more than a second while bytes wait for it. */
  readonly stalledCount: number;
}

/** What waits for one connection outside of the Duplex that it is given as. */
export interface Holding {
  /** In a queue of its own, in bytes. */
  readonly queuedBytes: number;
  /** In a gRPC stream that carries nothing else, in bytes. */
  readonly streamBytes: number;
}

/** Bytes on their way through a connection in one direction. */
export interface Flow {
  /** Bytes that the reader has taken since the connection stands. */
  readonly takenBytes: number;
  /** Whether some wait for it. */
  readonly waiting: boolean;
}

/** A connection that stands, as its splice shows it. */
export interface BudgetedConnection {
  /** In the buffers of its two ends, their streams left out. */
  readonly ownBytes: number;
  /** Those and what its streams hold. */
  readonly heldBytes: number;
  readonly flows: readonly Flow[];
  /** Ends it if its frontend turns out to have gone. */
  probeFrontend(): void;
  /** Ends it, both ways, at once. */
  reset(code: ErrorCode): void;
}

/** A reader that has taken nothing for so long, while bytes wait for it, has stopped. */
const stalledAfterMs = 1_000;
/**
 * Past the budget a reader gets so long, for one of thousands may wait that long for its turn at a busy client; past twice the
 * budget there is no more time for that.
 */
const patienceMs = 5_000;
const urgentShare = 2;
/** How often all is counted: while less than a fourth of the budget is held, and while more is. */
const calmIntervalMs = 1_000;
const busyIntervalMs = 250;
const busyShare = 4;
/** Counting may take this share of the time: it is done more seldom where there is that much to count. */
const costShare = 50;
/** An unfinished message may be on its way; one that holds more than this, and never comes to its end, is worth a call. */
const unfinishedMinBytes = 256 * 1024;

interface Entry {
  readonly log: Log;
  /** By flow: what its reader had taken when it was last seen to move, and when that was. */
  readonly progress: { takenBytes: number; at: number }[];
  /** For how long its reader has taken nothing; undefined while nothing waits for it. */
  waitingMs: number | undefined;
}

/**
 * Bounds what this process holds for connections: bytes in queues, in buffers and in streams that nobody reads. HTTP/2's window
 * bounds each one; this bounds them all together. Past the budget the connection that holds the most among those whose reader has
 * stopped is reset, and the next, until enough is free; then messages that do not come to their end. A connection whose reader
 * takes anything is never touched. Whose reader has stopped is also asked, with each look, whether its client is still there.
 */
export class ByteBudget implements CallWatch, HeldFigures {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #log: Log;
  readonly #onReset: () => void;
  readonly #connections = new Map<BudgetedConnection, Entry>();
  readonly #calls = new Set<Iterable<WatchedCall>>();
  /** Since when more is held than may be, or since the last reset. */
  #overSince: number | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(
    deps: { readonly clock: Clock; readonly log: Log },
    options: { readonly maxBytes: number; readonly onReset: () => void },
  ) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#maxBytes = options.maxBytes;
    this.#onReset = options.onReset;
  }

  get heldBytes(): number {
    let bytes = 0;
    for (const connection of this.#connections.keys()) bytes += connection.ownBytes;
    for (const call of this.#eachCall()) bytes += call.heldBytes + call.unfinishedBytes;
    return bytes;
  }

  get stalledCount(): number {
    this.#look();
    let count = 0;
    for (const { waitingMs = 0 } of this.#connections.values()) if (waitingMs >= stalledAfterMs) count += 1;
    return count;
  }

  /** Counts a connection until the returned function is called. `log` is told if it has to go. */
  addConnection(connection: BudgetedConnection, log: Log): () => void {
    const at = this.#clock.now();
    const progress = connection.flows.map(({ takenBytes }) => ({ takenBytes, at }));
    this.#connections.set(connection, { log, progress, waitingMs: undefined });
    this.#wake();
    return () => {
      this.#connections.delete(connection);
      this.#rest();
    };
  }

  /** Counts the calls of a session until the returned function is called. */
  addCalls(calls: Iterable<WatchedCall>): () => void {
    this.#calls.add(calls);
    this.#wake();
    return () => {
      this.#calls.delete(calls);
      this.#rest();
    };
  }

  #wake(): void {
    this.#cancelTimer ??= this.#clock.after(calmIntervalMs, () => this.#check());
  }

  #rest(): void {
    if (this.#connections.size + this.#calls.size > 0) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #check(): void {
    const startedAt = this.#clock.now();
    this.#look();
    this.#probeStalled();
    let heldBytes = 0;
    for (const connection of this.#connections.keys()) heldBytes += connection.heldBytes;
    for (const call of this.#eachCall()) heldBytes += call.unfinishedBytes;
    if (heldBytes <= this.#maxBytes) this.#overSince = undefined;
    else this.#relieve(heldBytes);
    const costMs = this.#clock.now() - startedAt;
    const intervalMs = heldBytes * busyShare > this.#maxBytes ? busyIntervalMs : calmIntervalMs;
    this.#cancelTimer = undefined;
    if (this.#connections.size + this.#calls.size === 0) return;
    this.#cancelTimer = this.#clock.after(Math.max(intervalMs, costMs * costShare), () => this.#check());
  }

  /** Sees whose reader has moved. */
  #look(): void {
    const now = this.#clock.now();
    for (const [connection, entry] of this.#connections) {
      entry.waitingMs = undefined;
      for (const [index, { takenBytes, waiting }] of connection.flows.entries()) {
        const progress = entry.progress[index];
        if (progress === undefined) continue;
        if (!waiting || progress.takenBytes !== takenBytes) Object.assign(progress, { takenBytes, at: now });
        if (waiting) entry.waitingMs = Math.max(entry.waitingMs ?? 0, now - progress.at);
      }
    }
  }

  /** What stands still is not read, so that nobody hears of the end of its client. */
  #probeStalled(): void {
    for (const [connection, { waitingMs = 0 }] of this.#connections) {
      if (waitingMs >= stalledAfterMs) connection.probeFrontend();
    }
  }

  /** From the largest down, whoever reads or does not: what a larger one may give back soon is not taken from a smaller one. */
  #relieve(heldBytes: number): void {
    const now = this.#clock.now();
    this.#overSince ??= now;
    const limitMs = heldBytes > urgentShare * this.#maxBytes ? stalledAfterMs : patienceMs;
    // One whose reader has moved may yet turn out to have stopped.
    const isEarly = now - this.#overSince < 2 * limitMs;
    let excess = heldBytes - this.#maxBytes;
    for (const { connection, entry, bytes } of this.#waitingBySize()) {
      if (excess <= 0) return;
      const isStalled = (entry.waitingMs ?? 0) >= limitMs;
      if (isStalled || isEarly) excess -= bytes;
      if (!isStalled) continue;
      this.#overSince = now;
      this.#reset(connection, entry, bytes);
    }
    if (excess > 0) this.#refuseUnfinished(excess);
  }

  #waitingBySize() {
    const waiting = [...this.#connections].filter(([, { waitingMs }]) => waitingMs !== undefined);
    const sized = waiting.map(([connection, entry]) => ({ connection, entry, bytes: connection.heldBytes }));
    return sized.sort((a, b) => b.bytes - a.bytes);
  }

  #reset(connection: BudgetedConnection, { log }: Entry, heldBytes: number): void {
    const budget = { code: "over_limit", heldBytes, maxBytes: this.#maxBytes };
    log.warn(budget, "connection reset: its reader has stopped, and it held the most of what this process may hold");
    this.#onReset();
    connection.reset("over_limit");
  }

  #refuseUnfinished(bytes: number): void {
    let excess = bytes;
    const bySize = [...this.#eachCall()].filter(({ unfinishedBytes }) => unfinishedBytes >= unfinishedMinBytes);
    bySize.sort((a, b) => b.unfinishedBytes - a.unfinishedBytes);
    for (const call of bySize) {
      if (excess <= 0) return;
      const { unfinishedBytes } = call;
      excess -= unfinishedBytes;
      this.#log.warn({ code: "over_limit", unfinishedBytes }, "call ended: no room for the rest of its message");
      this.#onReset();
      const message = "this process holds all that it may: no room for the rest of the message";
      call.refuseUnfinished(new GrpcError(GrpcCode.RESOURCE_EXHAUSTED, message));
    }
  }

  *#eachCall(): Iterable<WatchedCall> {
    for (const calls of this.#calls) yield* calls;
  }
}

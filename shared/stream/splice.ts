import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../clock.ts";
import { type ErrorCode, ProxyError } from "../errors.ts";
import type { BudgetedConnection, Flow, Holding } from "./byte-budget.ts";
import { probePeer } from "./probe-peer.ts";
import { reset } from "./reset.ts";

/** Who ended a connection. `agent` and `server` stand for the halves of Hawser themselves (lost, shut down, over a limit). */
export type Closer = "frontend" | "endpoint" | "agent" | "server";

export interface CloseReport {
  readonly by: Closer;
  readonly code: ErrorCode | "ok";
  readonly bytesToEndpoint: number;
  readonly bytesToFrontend: number;
}

/** One end of a connection, as splice sees it. */
export interface SpliceEnd {
  readonly duplex: Duplex;
  /**
   * Whether FIN means only "I send no more" here, in both directions: `end` events and `end()` are half-closes.
   * False for the reference's packets, which know only a full close.
   */
  readonly halfClose: boolean;
  /** What waits below `duplex` for this connection alone. */
  readonly holds?: Holding;
  /** Told once who reads what this end gives, for an end that has to tell a slow reader from a dead one. */
  readBy?(reader: Duplex): void;
}

export interface ByteCounter {
  inc(bytes: number): void;
}

export interface SpliceOptions {
  /** Where this splice runs, for what is nobody's doing but this half's own. */
  readonly half: "server" | "agent";
  /** After one FIN: how long the other direction may go without a byte. */
  readonly halfCloseTimeoutMs: number;
  /** How long it may go without a byte either way, and how long in all, before it is reset. 0, the default, is for ever. */
  readonly idleTimeoutMs?: number;
  readonly lifetimeMs?: number;
  /**
   * When the frontend half-closes and the other end knows only a full close: how long the endpoint has to be silent before
   * that full close is sent, so that an answer in flight is not lost.
   */
  readonly frontendFinGraceMs?: number;
  /**
   * Endpoint bytes wait until the frontend has sent its first byte, at most this long, and on a machine that is too busy to be in
   * time, up to five times that. Default 0.
   */
  readonly holdEndpointMs?: number;
  /** Told of every write to the frontend: milliseconds until it could take more. */
  readonly onFrontendWrite?: (ms: number) => void;
  /** Count bytes as they move. */
  readonly bytes?: { readonly toEndpoint: ByteCounter; readonly toFrontend: ByteCounter };
  /** Is shown the connection; what it returns is called once that has ended. */
  readonly onStart?: (connection: BudgetedConnection) => () => void;
}

/** After a full close: how long, and for how many bytes, an end is still read so that its kernel does not answer our close with a reset. */
const lingerMs = 2_000;
const lingerBytes = 256 * 1024;
/** A timer that comes later than this is one of a machine, or process, that is too busy to be in time. */
const lateMs = 10;
const holdsMax = 5;

/**
 * Joins two Duplexes until both have closed, and tells who ended it and why. Never rejects.
 * Owns both from here on. Backpressure is passed on; at most one chunk above each Duplex's own mark is held.
 * - A half-close is passed on as one, if the other end knows it; the reverse direction then lives on.
 * - A full close flushes what is on its way to the other end, closes that, and drops what still comes back.
 * - A Duplex that is destroyed, or fails, takes the other with it, by a reset where that exists.
 */
export function splice(
  frontend: SpliceEnd,
  endpoint: SpliceEnd,
  deps: { readonly clock: Clock },
  options: SpliceOptions,
): Promise<CloseReport> {
  return new Promise((resolve) => {
    new Splice(frontend, endpoint, deps.clock, options, resolve).start();
  });
}

type Name = "frontend" | "endpoint";
type Cause = { readonly by: Closer; readonly code: ErrorCode | "ok" };

class Side {
  readonly name: Name;
  readonly duplex: Duplex;
  readonly halfClose: boolean;
  readonly readBy: (reader: Duplex) => void;
  readonly holds: Holding | undefined;
  /** It sends no more. */
  ended = false;
  closed = false;
  /** Bytes taken from it. */
  bytes = 0;
  /** What it sends is dropped. */
  discarding = false;
  discarded = 0;

  constructor(name: Name, end: SpliceEnd) {
    this.name = name;
    this.duplex = end.duplex;
    this.halfClose = end.halfClose;
    this.readBy = (reader) => end.readBy?.(reader);
    this.holds = end.holds;
  }
}

class Splice implements BudgetedConnection {
  readonly #frontend: Side;
  readonly #endpoint: Side;
  readonly #clock: Clock;
  readonly #options: SpliceOptions;
  readonly #resolve: (report: CloseReport) => void;
  #cause: Cause | undefined;
  /** What it will have been if nothing goes wrong any more. */
  #firstFin: Cause | undefined;
  #holdingEndpoint = false;
  #lastByteAt = 0;
  #onEnded: (() => void) | undefined;
  readonly #timers = new Set<() => void>();

  constructor(
    frontend: SpliceEnd,
    endpoint: SpliceEnd,
    clock: Clock,
    options: SpliceOptions,
    resolve: (report: CloseReport) => void,
  ) {
    this.#frontend = new Side("frontend", frontend);
    this.#endpoint = new Side("endpoint", endpoint);
    this.#clock = clock;
    this.#options = options;
    this.#resolve = resolve;
  }

  get ownBytes(): number {
    return ownBytesOf(this.#frontend) + ownBytesOf(this.#endpoint);
  }

  get heldBytes(): number {
    return this.ownBytes + (this.#frontend.holds?.streamBytes ?? 0) + (this.#endpoint.holds?.streamBytes ?? 0);
  }

  get flows(): readonly Flow[] {
    return [flowOf(this.#frontend, this.#endpoint), flowOf(this.#endpoint, this.#frontend)];
  }

  probeFrontend(): void {
    const { duplex } = this.#frontend;
    if (duplex instanceof Socket) probePeer(duplex);
  }

  start(): void {
    this.#onEnded = this.#options.onStart?.(this);
    this.#lastByteAt = this.#clock.now();
    this.#frontend.readBy(this.#endpoint.duplex);
    this.#endpoint.readBy(this.#frontend.duplex);
    this.#watch(this.#frontend, this.#endpoint);
    this.#watch(this.#endpoint, this.#frontend);
    this.#pump(this.#frontend, this.#endpoint);
    const { idleTimeoutMs, lifetimeMs } = this.#options;
    if (idleTimeoutMs) this.#limitSilence(idleTimeoutMs, () => this.reset("idle"));
    if (lifetimeMs) this.#after(lifetimeMs, () => this.reset("expired"));
    if (this.#options.holdEndpointMs) {
      this.#holdingEndpoint = true;
      this.#hold(this.#options.holdEndpointMs, holdsMax);
    } else {
      this.#pump(this.#endpoint, this.#frontend);
    }
  }

  /** What delays this process may delay the frontend too, which then gets the time once more. */
  #hold(ms: number, times: number): void {
    const dueAt = this.#clock.now() + ms;
    this.#after(ms, () => {
      if (times > 1 && this.#clock.now() > dueAt + lateMs) this.#hold(ms, times - 1);
      else this.#releaseEndpoint();
    });
  }

  #releaseEndpoint(): void {
    if (!this.#holdingEndpoint) return;
    this.#holdingEndpoint = false;
    this.#pump(this.#endpoint, this.#frontend);
  }

  #pump(from: Side, to: Side): void {
    const meter = to.name === "frontend" ? this.#options.onFrontendWrite : undefined;
    const counter = this.#options.bytes?.[to.name === "frontend" ? "toFrontend" : "toEndpoint"];
    let pausedAt = 0;
    from.duplex.on("data", (chunk: Buffer) => {
      if (from.discarding) {
        // Until what is on its way to it has gone out, a destroy would cut that off.
        if (from.duplex.writableFinished) from.discarded += chunk.length;
        if (from.discarded > lingerBytes) from.duplex.destroy();
        return;
      }
      from.bytes += chunk.length;
      counter?.inc(chunk.length);
      this.#lastByteAt = this.#clock.now();
      if (this.#holdingEndpoint) this.#releaseEndpoint();
      if (to.duplex.write(chunk)) {
        meter?.(0);
      } else {
        pausedAt = this.#lastByteAt;
        from.duplex.pause();
      }
    });
    to.duplex.on("drain", () => {
      meter?.(this.#clock.now() - pausedAt);
      from.duplex.resume();
    });
    from.duplex.resume();
  }

  #watch(side: Side, other: Side): void {
    side.duplex.on("end", () => this.#onEnd(side, other));
    // An error is always followed by `close`, where it is handled; without a listener it would end the process.
    let failure: Error | undefined;
    side.duplex.on("error", (error: Error) => {
      failure ??= error;
    });
    side.duplex.on("close", () => this.#onClose(side, other, failure));
    // What has happened already is not told again.
    if (side.duplex.destroyed) queueMicrotask(() => this.#onClose(side, other, side.duplex.errored ?? undefined));
    else if (side.duplex.readableEnded) queueMicrotask(() => this.#onEnd(side, other));
  }

  #onEnd(side: Side, other: Side): void {
    if (side.ended || side.closed) return;
    side.ended = true;
    if (!side.halfClose) {
      this.#blame(side.name, "ok");
      this.#closeFully(other);
      this.#finishWriting(side);
      return;
    }
    this.#firstFin ??= { by: side.name, code: "ok" };
    if (other.halfClose || other.ended) {
      endWriting(other);
      this.#limitSilence(this.#options.halfCloseTimeoutMs, () => this.reset("idle"));
      return;
    }
    const graceMs = side.name === "frontend" ? (this.#options.frontendFinGraceMs ?? 0) : 0;
    this.#limitSilence(graceMs, () => {
      this.#blame(side.name, "ok");
      this.#flushAndDestroy(other);
      side.discarding = true;
      this.#finishWriting(side);
    });
  }

  /** `side` gets what is on its way to it, then FIN; what it still sends is dropped for a while, then it is destroyed. */
  #closeFully(side: Side): void {
    side.discarding = true;
    side.duplex.resume();
    this.#finishWriting(side);
    this.#whenFlushed(side, () => this.#after(lingerMs, () => side.duplex.destroy()));
  }

  /** For an end that knows only a full close: what is on its way to it still arrives, what comes back is dropped. */
  #flushAndDestroy(side: Side): void {
    side.discarding = true;
    this.#finishWriting(side);
    this.#whenFlushed(side, () => side.duplex.destroy());
  }

  /** Nothing more is written to `side`; if it does not take what it has been given, it is destroyed. */
  #finishWriting(side: Side): void {
    endWriting(side);
    this.#limitSilence(this.#options.halfCloseTimeoutMs, () => side.duplex.destroy());
  }

  #whenFlushed(side: Side, then: () => void): void {
    if (side.duplex.writableFinished) then();
    else side.duplex.once("finish", then);
  }

  /** Calls `then` once no byte has moved for `limitMs`, unless the splice ends first. */
  #limitSilence(limitMs: number, then: () => void): void {
    const from = this.#clock.now();
    const check = () => {
      const silentMs = this.#clock.now() - Math.max(from, this.#lastByteAt);
      if (silentMs >= limitMs) then();
      else this.#after(limitMs - silentMs, check);
    };
    check();
  }

  #onClose(side: Side, other: Side, failure: Error | undefined): void {
    if (side.closed) return;
    side.closed = true;
    const complete = side.ended && side.duplex.writableFinished && failure === undefined;
    if (!complete && !other.closed) this.#takeDown(side, other, failure);
    if (other.closed) this.#finish();
  }

  /** `side` went before both directions had ended: the other end is reset, unless a close is already under way. */
  #takeDown(side: Side, other: Side, failure: Error | undefined): void {
    if (this.#cause !== undefined && other.discarding) return;
    const error =
      failure instanceof ProxyError
        ? failure
        : new ProxyError("cancelled", `the ${side.name} reset the connection`, { cause: failure });
    this.#blame(closerOf(error, side.name, this.#options.half), error.code);
    if (other.halfClose) reset(other.duplex, error);
    else this.#flushAndDestroy(other);
  }

  /** Ends the connection both ways, at once. */
  reset(code: ErrorCode): void {
    this.#blame(this.#options.half, code);
    const error = new ProxyError(code, `connection closed: ${code}`);
    reset(this.#frontend.duplex, error);
    reset(this.#endpoint.duplex, error);
  }

  #blame(by: Closer, code: ErrorCode | "ok"): void {
    this.#cause ??= { by, code };
  }

  #after(delayMs: number, callback: () => void): void {
    const cancel = this.#clock.after(delayMs, () => {
      this.#timers.delete(cancel);
      callback();
    });
    this.#timers.add(cancel);
  }

  #finish(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#onEnded?.();
    this.#resolve({
      ...(this.#cause ?? this.#firstFin ?? { by: "endpoint", code: "ok" }),
      bytesToEndpoint: this.#frontend.bytes,
      bytesToFrontend: this.#endpoint.bytes,
    });
  }
}

/** Node makes an error, with its stack, of an end that comes after the end. */
function endWriting({ duplex }: Side): void {
  if (!duplex.writableEnded && !duplex.destroyed) duplex.end();
}

const ownBytesOf = ({ duplex, holds }: Side): number =>
  duplex.readableLength + duplex.writableLength + (holds?.queuedBytes ?? 0);

function flowOf(from: Side, to: Side): Flow {
  const waitingBytes = to.duplex.writableLength;
  return { takenBytes: from.bytes - waitingBytes, waiting: waitingBytes > 0 && !to.closed };
}

function closerOf(error: ProxyError, side: Name, half: SpliceOptions["half"]): Closer {
  // The link between the halves was lost, and with it the other half.
  if (error.code === "agent_lost") return half === "server" ? "agent" : "server";
  return error.code === "cancelled" ? side : half;
}

import type { Http2Session } from "node:http2";
import type { Clock } from "../clock.ts";

/** A stream as the gate of its session sees it. */
export interface GateWaiter {
  /** It may send what it has, or ask its owner for more. */
  gateOpened(): void;
}

/**
 * Says to the streams of a session when to wait before they give HTTP/2 more. Each write that is given is reported, and later either
 * that it was taken or that the stream is gone.
 */
export interface SendGate {
  /** Whether so many bytes must wait. Who must wait calls `wait`. */
  fullFor(bytes: number): boolean;
  wait(stream: GateWaiter): void;
  given(stream: GateWaiter, bytes: number): void;
  taken(stream: GateWaiter): void;
  forget(stream: GateWaiter): void;
}

/** The gate of a session whose socket pushes back by itself. */
export const openGate: SendGate = { fullFor: () => false, wait() {}, given() {}, taken() {}, forget() {} };

/** With so many bytes in the socket, streams wait with what they have. */
const backlogFullBytes = 256 * 1024;
/** From here down they go on; the rest keeps the socket busy until they have. */
const backlogOpenBytes = 128 * 1024;

/**
 * What HTTP/2 may have been given and not passed on, because a window of the peer's is used up. Versions of Node differ in the order
 * in which they send it: with 24, a dial's answer waits behind all of it. All of it may get into the socket at once.
 */
const givenFullBytes = 1024 * 1024;

/**
 * Who has no more than this to send waits only where more stands in the socket than what was given can make of it: a dial's answer,
 * a key that was pressed.
 */
const shortBytes = 4 * 1024;
const backlogFullForShortBytes = 2 * 1024 * 1024;

/** When so much that came later or beside it has been taken, a write is held up by its own stream's window, in whatever order Node sends. */
const overtakenBytes = 4 * givenFullBytes;
/** As is one that is twice this old, while the connection's window is open and the socket free. */
const tickMs = 50;

interface Write {
  readonly bytes: number;
  /** What had been taken when it was given. */
  readonly takenBefore: number;
  readonly tick: number;
}

/**
 * The gate of a session whose socket takes everything: bounds what stands in the socket, and what HTTP/2 holds before it.
 *
 * A write that its own stream's window holds up must not count for long, or a few readers that stall would close the gate for all.
 * HTTP/2 does not tell which these are; they show by being overtaken, or by their age.
 */
export class BacklogGate implements SendGate {
  readonly #clock: Clock;
  readonly #backlogBytes: () => number;
  #session: Pick<Http2Session, "state"> | undefined;
  /** In the order in which they came. */
  readonly #waiting = new Set<GateWaiter>();
  /** Writes that count, the oldest first. A stream has one at a time. */
  readonly #given = new Map<GateWaiter, Write>();
  #givenBytes = 0;
  #fullBytes = givenFullBytes;
  #takenBytes = 0;
  #tick = 0;
  #stopTicking: (() => void) | undefined;
  #closed = false;

  /** `backlogBytes` stand in the socket. When that becomes less, call `open`. */
  constructor(deps: { readonly clock: Clock }, backlogBytes: () => number) {
    this.#clock = deps.clock;
    this.#backlogBytes = backlogBytes;
  }

  /** Names the session, whose state has what the peer lets it send now. */
  useSession(session: Pick<Http2Session, "state">): void {
    this.#session = session;
  }

  fullFor(bytes: number): boolean {
    if (bytes <= shortBytes) return this.#backlogBytes() >= backlogFullForShortBytes;
    return this.#givenBytes >= this.#fullBytes || this.#backlogBytes() >= backlogFullBytes;
  }

  wait(stream: GateWaiter): void {
    if (this.#closed) return;
    this.#waiting.add(stream);
    this.#startTicking();
  }

  given(stream: GateWaiter, bytes: number): void {
    if (bytes <= shortBytes) return;
    this.#given.set(stream, { bytes, takenBefore: this.#takenBytes, tick: this.#tick });
    this.#givenBytes += bytes;
  }

  taken(stream: GateWaiter): void {
    const write = this.#given.get(stream);
    if (write === undefined) return;
    this.#discount(stream, write);
    this.#takenBytes += write.bytes;
    this.#fullBytes = givenFullBytes;
    this.#discountOldest(({ takenBefore }) => takenBefore + overtakenBytes <= this.#takenBytes);
    this.open();
  }

  forget(stream: GateWaiter): void {
    this.#waiting.delete(stream);
    const write = this.#given.get(stream);
    if (write === undefined) return;
    this.#discount(stream, write);
    // Later, for the stream is in the middle of its end.
    queueMicrotask(() => this.open());
  }

  /** Lets streams go on, for as long as there is room. */
  open(): void {
    if (!this.#hasRoom()) return;
    for (const stream of this.#waiting) {
      this.#waiting.delete(stream);
      stream.gateOpened();
      if (!this.#hasRoom()) return;
    }
  }

  /** No stream is told any more. */
  close(): void {
    this.#closed = true;
    this.#stopTicking?.();
    this.#waiting.clear();
  }

  #hasRoom(): boolean {
    return this.#givenBytes < this.#fullBytes && this.#backlogBytes() <= backlogOpenBytes;
  }

  #discount(stream: GateWaiter, { bytes }: Write): void {
    this.#given.delete(stream);
    this.#givenBytes -= bytes;
  }

  #discountOldest(isHeldUp: (write: Write) => boolean): void {
    for (const [stream, write] of this.#given) {
      if (!isHeldUp(write)) return;
      this.#discount(stream, write);
    }
  }

  #startTicking(): void {
    this.#stopTicking ??= this.#clock.after(tickMs, () => {
      this.#stopTicking = undefined;
      this.#onTick();
      if (this.#waiting.size > 0) this.#startTicking();
    });
  }

  #onTick(): void {
    this.#tick += 1;
    const isWindowOpen = this.#session === undefined || (this.#session.state.remoteWindowSize ?? 0) > 0;
    if (!isWindowOpen || this.#backlogBytes() > backlogOpenBytes) return;
    const counted = this.#given.size;
    this.#discountOldest(({ tick }) => tick <= this.#tick - 2);
    // Where thousands stall at once, those behind them get their turn after some ticks, not after one for each few.
    if (this.#given.size < counted) this.#fullBytes *= 2;
    this.open();
  }
}

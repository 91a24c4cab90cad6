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
  /** Whether so many bytes must wait; 0 asks whether it makes sense to fetch more. Who must wait calls `wait`. */
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
 * What HTTP/2 may have been given and not passed on, because the peer's window is used up. Versions of Node differ in the order in
 * which they send it: with 24, a dial's answer waits behind all of it.
 */
const givenFullBytes = 1024 * 1024;

/** Who has no more than this to send waits only where far more stands in the socket: a dial's answer, a key that was pressed. */
const shortBytes = 4 * 1024;
const backlogFullForShortBytes = 4 * 1024 * 1024;

/** When HTTP/2 takes nothing for so long although the socket is free, it is the streams' own windows that are used up. */
const stuckMs = 50;

/**
 * The gate of a session whose socket takes everything: bounds what stands in the socket, and what HTTP/2 holds before it.
 *
 * A stream whose own window is used up must not count, or a few readers that stall would close the gate for all. HTTP/2 does not
 * tell which these are, so a write counts no more once a later one that was not shorter has been taken before it.
 */
export class BacklogGate implements SendGate {
  readonly #clock: Clock;
  readonly #backlogBytes: () => number;
  /** In the order in which they came. */
  readonly #waiting = new Set<GateWaiter>();
  /** Writes that count, in bytes, the oldest first. A stream has one at a time. */
  readonly #given = new Map<GateWaiter, number>();
  #givenBytes = 0;
  #tookSome = false;
  #stopWatch: (() => void) | undefined;

  /** `backlogBytes` stand in the socket. When that becomes less, call `open`. */
  constructor(deps: { readonly clock: Clock }, backlogBytes: () => number) {
    this.#clock = deps.clock;
    this.#backlogBytes = backlogBytes;
  }

  fullFor(bytes: number): boolean {
    if (bytes > 0 && bytes <= shortBytes) return this.#backlogBytes() >= backlogFullForShortBytes;
    return this.#givenBytes >= givenFullBytes || this.#backlogBytes() >= backlogFullBytes;
  }

  wait(stream: GateWaiter): void {
    this.#waiting.add(stream);
    this.#watch();
  }

  given(stream: GateWaiter, bytes: number): void {
    this.#given.set(stream, bytes);
    this.#givenBytes += bytes;
  }

  taken(stream: GateWaiter): void {
    this.#tookSome = true;
    const bytes = this.#given.get(stream);
    if (bytes === undefined) return;
    for (const [earlier, earlierBytes] of this.#given) {
      if (earlier === stream) break;
      if (earlierBytes <= bytes) this.#discount(earlier);
    }
    this.#discount(stream);
    this.open();
  }

  forget(stream: GateWaiter): void {
    this.#waiting.delete(stream);
    this.#discount(stream);
  }

  /** Lets streams go on, for as long as there is room. */
  open(): void {
    for (const stream of this.#waiting) {
      if (this.#givenBytes >= givenFullBytes || this.#backlogBytes() > backlogOpenBytes) return;
      this.#waiting.delete(stream);
      stream.gateOpened();
    }
  }

  /** No stream is told any more. */
  close(): void {
    this.#stopWatch?.();
    this.#waiting.clear();
    this.#given.clear();
  }

  #discount(stream: GateWaiter): void {
    this.#givenBytes -= this.#given.get(stream) ?? 0;
    this.#given.delete(stream);
  }

  #watch(): void {
    if (this.#stopWatch !== undefined) return;
    this.#tookSome = false;
    this.#stopWatch = this.#clock.after(stuckMs, () => {
      this.#stopWatch = undefined;
      if (!this.#tookSome && this.#backlogBytes() <= backlogOpenBytes) {
        this.#given.clear();
        this.#givenBytes = 0;
        this.open();
      }
      if (this.#waiting.size > 0) this.#watch();
    });
  }
}

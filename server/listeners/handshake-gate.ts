import type { Socket } from "node:net";
import type { Clock } from "../../shared/clock.ts";

/** How many handshakes may be unfinished at once. */
export interface HandshakeLimits {
  readonly max: number;
  /** Of those, from one source address. */
  readonly perSourceMax: number;
}

/** Who has sent something keeps its place for so long: more than a handshake takes where as many as may be are under way. */
export const handshakeHeldMs = 2_000;
/** Who has not, so long: what a client has to say comes right behind its connection. */
export const silentHeldMs = 500;

interface Unfinished {
  readonly source: string;
  readonly since: number;
}

/**
 * Bounds unfinished TLS handshakes. When full, the newcomer is turned away, unless another has had its time: the oldest that has said
 * nothing for `silentHeldMs`, or the oldest of all if that is at it for `handshakeHeldMs`, goes then; of the same source, if that source
 * has its share. So clients that connect and say nothing keep others out for no longer, and thousands that come at once, as agents do
 * behind a restart, get their turn one lot after the other: were there room made for each who comes, none would finish.
 */
export class HandshakeGate {
  /** In order of arrival. */
  readonly #unfinished = new Map<Socket, Unfinished>();
  readonly #perSource = new Map<string, number>();
  readonly #limits: HandshakeLimits;
  readonly #clock: Clock;
  readonly #onRefused: (source: string) => void;

  constructor(
    limits: HandshakeLimits,
    options: { readonly clock: Clock; readonly onRefused: (source: string) => void },
  ) {
    this.#limits = limits;
    this.#clock = options.clock;
    this.#onRefused = options.onRefused;
  }

  get unfinished(): number {
    return this.#unfinished.size;
  }

  /** Counts `socket` until `finished` is called for it or it closes. Returns false where there is no room: it is destroyed then. */
  enter(socket: Socket): boolean {
    const source = String(socket.remoteAddress);
    const now = this.#clock.now();
    if (!this.#hasRoom(source, now)) {
      this.#refuse(socket, source);
      return false;
    }
    this.#unfinished.set(socket, { source, since: now });
    this.#perSource.set(source, this.#countOf(source) + 1);
    socket.once("close", () => this.finished(socket));
    return true;
  }

  /** Its handshake is complete, or will not be. */
  finished(socket: Socket): void {
    const { source } = this.#unfinished.get(socket) ?? {};
    if (source === undefined) return;
    this.#unfinished.delete(socket);
    const left = this.#countOf(source) - 1;
    if (left > 0) this.#perSource.set(source, left);
    else this.#perSource.delete(source);
  }

  /** Makes room, if it has to and may. */
  #hasRoom(source: string, now: number): boolean {
    const { max, perSourceMax } = this.#limits;
    if (this.#countOf(source) >= perSourceMax) return this.#evict(now, (one) => one.source === source);
    return this.#unfinished.size < max || this.#evict(now, () => true);
  }

  #evict(now: number, matches: (one: Unfinished) => boolean): boolean {
    for (const [socket, one] of this.#unfinished) {
      const heldMs = socket.bytesRead === 0 ? silentHeldMs : handshakeHeldMs;
      if (!matches(one) || now - one.since < heldMs) continue;
      this.finished(socket);
      this.#refuse(socket, one.source);
      return true;
    }
    return false;
  }

  #refuse(socket: Socket, source: string): void {
    this.#onRefused(source);
    socket.destroy();
  }

  #countOf(source: string): number {
    return this.#perSource.get(source) ?? 0;
  }
}

import type { Socket } from "node:net";

/** How many handshakes may be unfinished at once. */
export interface HandshakeLimits {
  readonly max: number;
  /** Of those, from one source address. */
  readonly perSourceMax: number;
}

/**
 * Bounds unfinished TLS handshakes, so that clients that connect and say nothing keep nobody else out: when full, the
 * oldest of the same source goes if that source has its share, else the oldest of all.
 */
export class HandshakeGate {
  /** With the address that each comes from, in order of arrival. */
  readonly #unfinished = new Map<Socket, string>();
  readonly #perSource = new Map<string, number>();
  readonly #limits: HandshakeLimits;
  readonly #onRefused: (source: string) => void;

  constructor(limits: HandshakeLimits, options: { readonly onRefused: (source: string) => void }) {
    this.#limits = limits;
    this.#onRefused = options.onRefused;
  }

  get unfinished(): number {
    return this.#unfinished.size;
  }

  /** Counts `socket` until `finished` is called for it or it closes. May destroy an older one. */
  enter(socket: Socket): void {
    const source = String(socket.remoteAddress);
    if (this.#countOf(source) >= this.#limits.perSourceMax) this.#evict((candidate) => candidate === source);
    else if (this.#unfinished.size >= this.#limits.max) this.#evict(() => true);
    this.#unfinished.set(socket, source);
    this.#perSource.set(source, this.#countOf(source) + 1);
    socket.once("close", () => this.finished(socket));
  }

  /** Its handshake is complete, or will not be. */
  finished(socket: Socket): void {
    const source = this.#unfinished.get(socket);
    if (source === undefined) return;
    this.#unfinished.delete(socket);
    const left = this.#countOf(source) - 1;
    if (left > 0) this.#perSource.set(source, left);
    else this.#perSource.delete(source);
  }

  #evict(matches: (source: string) => boolean): void {
    for (const [socket, source] of this.#unfinished) {
      if (!matches(source)) continue;
      this.finished(socket);
      this.#onRefused(source);
      socket.destroy();
      return;
    }
  }

  #countOf(source: string): number {
    return this.#perSource.get(source) ?? 0;
  }
}

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
  /** By peer address and port, in order of arrival: a TLSSocket and the socket under it share these. */
  readonly #unfinished = new Map<string, Socket>();
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

  /** Counts `socket` until `finished` is called for its peer or it closes. May destroy an older one. */
  enter(socket: Socket): void {
    const peer = peerKey(socket);
    const source = sourceOf(peer);
    this.#leave(peer); // a port that is used again before the close of its old socket was told
    if (this.#countOf(source) >= this.#limits.perSourceMax) this.#evict((candidate) => candidate === source);
    else if (this.#unfinished.size >= this.#limits.max) this.#evict(() => true);
    this.#unfinished.set(peer, socket);
    this.#perSource.set(source, this.#countOf(source) + 1);
    socket.once("close", () => {
      if (this.#unfinished.get(peer) === socket) this.#leave(peer);
    });
  }

  /** The handshake with the peer of `socket` is complete. Returns the socket that entered for it. */
  finished(socket: Socket): Socket | undefined {
    const peer = peerKey(socket);
    const entered = this.#unfinished.get(peer);
    this.#leave(peer);
    return entered;
  }

  #leave(peer: string): void {
    if (!this.#unfinished.delete(peer)) return;
    const source = sourceOf(peer);
    const left = this.#countOf(source) - 1;
    if (left > 0) this.#perSource.set(source, left);
    else this.#perSource.delete(source);
  }

  #evict(matches: (source: string) => boolean): void {
    for (const [peer, socket] of this.#unfinished) {
      const source = sourceOf(peer);
      if (!matches(source)) continue;
      this.#leave(peer);
      this.#onRefused(source);
      socket.destroy();
      return;
    }
  }

  #countOf(source: string): number {
    return this.#perSource.get(source) ?? 0;
  }
}

const peerKey = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;
const sourceOf = (peer: string): string => peer.slice(0, peer.indexOf(" "));

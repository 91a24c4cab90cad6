import type { Socket } from "node:net";
import type { Clock } from "../clock.ts";
import { isDropped } from "../stream/probe-peer.ts";

/** Two looks within the second in which the frontends of a dead agent are to know of it. */
const lookEveryMs = 400;

/**
 * Notices that the kernel has dropped a connection, as it does on a reset, where Node does not: it reads nothing of an
 * HTTP/2 session while a write is pending, and over TLS a reset may leave that write pending for ever. Seen on Node 20 with
 * peers killed under bulk both ways. Works until `stop`, or until it has called `onReset`, once.
 */
export class ResetWatch {
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #onReset: () => void;
  #cancelTimer: () => void = () => {};

  constructor(deps: { readonly clock: Clock }, socket: Socket, onReset: () => void) {
    this.#clock = deps.clock;
    this.#socket = socket;
    this.#onReset = onReset;
    this.#lookLater();
  }

  stop(): void {
    this.#cancelTimer();
  }

  #lookLater(): void {
    this.#cancelTimer = this.#clock.after(lookEveryMs, () => {
      if (isDropped(this.#socket)) this.#onReset();
      else this.#lookLater();
    });
  }
}

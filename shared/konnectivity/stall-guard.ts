import type { Clock } from "../clock.ts";
import { ProxyError } from "../errors.ts";
import type { PacketDuplex } from "./packet-duplex.ts";
import type { PacketStream } from "./packet-stream.ts";

/** A reader that takes at least this much is slow, and its neighbours wait for it; one that takes less is dead. */
const aliveBytesPerSecond = 64 * 1024;
/** How long in all a dead reader may keep its neighbours waiting before it is reset. */
const patienceMs = 2_000;
const checkEveryMs = 250;

/**
 * Keeps one connection of a shared stream from stopping all others. The reference's packets have no window of their own
 * for a connection, so a reader that stops can only be met by pausing the whole stream: this guard pauses it while the
 * overflowing connection still drains, and resets that connection alone, with code `stalled`, once it has drained next to
 * nothing for two seconds in all.
 */
export class StallGuard {
  readonly #clock: Clock;
  readonly #packets: Pick<PacketStream, "pause" | "resume">;
  readonly #onStalled: (duplex: PacketDuplex) => void;
  /** The connection for which the stream is paused: one at a time, since nothing arrives meanwhile. */
  #culprit: { readonly duplex: PacketDuplex; since: number; takenBefore: number; stopCheck: () => void } | undefined;

  constructor(
    deps: { readonly clock: Clock; readonly packets: Pick<PacketStream, "pause" | "resume"> },
    options: { readonly onStalled: (duplex: PacketDuplex) => void },
  ) {
    this.#clock = deps.clock;
    this.#packets = deps.packets;
    this.#onStalled = options.onStalled;
  }

  /** For PacketDuplexOptions.onOverflow. */
  overflow(duplex: PacketDuplex): void {
    this.#packets.pause();
    this.#culprit = { duplex, since: this.#clock.now(), takenBefore: duplex.takenBytes, stopCheck: () => {} };
    this.#checkLater();
  }

  /** For PacketDuplexOptions.onRelief. */
  relief(duplex: PacketDuplex): void {
    if (this.#culprit?.duplex !== duplex) return;
    this.#account();
    this.#culprit.stopCheck();
    this.#culprit = undefined;
    this.#packets.resume();
  }

  #checkLater(): void {
    if (this.#culprit === undefined) return;
    this.#culprit.stopCheck = this.#clock.after(checkEveryMs, () => {
      this.#account();
      const duplex = this.#culprit?.duplex;
      if (duplex === undefined) return;
      if (duplex.stalledMs < patienceMs) {
        this.#checkLater();
        return;
      }
      this.#onStalled(duplex);
      duplex.destroy(new ProxyError("stalled", "the reader of this connection has stopped, and its neighbours waited"));
    });
  }

  /** Charges the time since the last look to the culprit, if it took next to nothing in it. */
  #account(): void {
    const culprit = this.#culprit;
    if (culprit === undefined) return;
    const now = this.#clock.now();
    const elapsedMs = now - culprit.since;
    const taken = culprit.duplex.takenBytes - culprit.takenBefore;
    if (taken < (aliveBytesPerSecond * elapsedMs) / 1000) culprit.duplex.stalledMs += elapsedMs;
    culprit.since = now;
    culprit.takenBefore = culprit.duplex.takenBytes;
  }
}

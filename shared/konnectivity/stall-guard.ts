import type { Socket } from "node:net";
import type { Clock } from "../clock.ts";
import { ProxyError } from "../errors.ts";
import { kernelSendQueueBytes } from "../stream/kernel-send-queue.ts";
import type { PacketDuplex } from "./packet-duplex.ts";
import type { PacketStream } from "./packet-stream.ts";

/** A reader that takes at least this much is slow, and its neighbours wait for it; one that takes less is dead. */
const aliveBytesPerSecond = 64 * 1024;
/** How long in all a dead reader may keep its neighbours waiting before it is reset. */
const patienceMs = 2_000;
/** The same for a reader whose kernel has been seen to ask for more in lumps that last as long. */
const patienceMaxMs = 5_000;
const checkEveryMs = 250;
/** Most that one check can charge: time in which this process did not run is not the reader's. */
const chargeMaxMs = 2 * checkEveryMs;

/** What is known of a connection that has overflowed. Its debt outlives the pause, its other parts do not matter after it. */
interface Account {
  /** Milliseconds that it kept its stream waiting, less those that it has earned since by taking bytes. Never negative. */
  debtMs: number;
  /** Its `takenBytes` up to which it has earned. */
  creditedBytes: number;
  /** Most that its kernel took from ours between two checks. */
  lumpBytes: number;
}

/** The connection for which the stream is paused: one at a time, since nothing arrives meanwhile. */
interface Culprit {
  readonly duplex: PacketDuplex;
  readonly account: Account;
  checkedAt: number;
  /** What its reader's socket held when it was last looked at, and when it was last accounted for. */
  heldBytes: number | undefined;
  accountedHeldBytes: number | undefined;
  looking: boolean;
  stopCheck: () => void;
}

/**
 * Keeps one connection of a shared stream from stopping all others. The reference's packets have no window of their own
 * for a connection, so a reader that stops can only be met by pausing the whole stream: this guard pauses it while the
 * overflowing connection still drains, and resets that connection alone, with code `stalled`, at the first check after it has
 * drained next to nothing for two seconds in all.
 *
 * Time is charged and bytes taken earn it back, so that a reader may take them in bursts. A TCP socket takes in larger bursts than
 * its reader does, for the kernel calls it writable only once much of its buffer (megabytes) is free: what leaves that buffer
 * meanwhile counts as taken, where the kernel tells of it. The reader's own kernel, once its buffer was full, opens its window again
 * only when a sixteenth of that buffer is free or more, hundreds of KiB after a fast start: a reader that was seen to do that is
 * given up only after twice the time for which such a lump stands. Source: Linux, `__tcp_select_window` in net/ipv4/tcp_output.c.
 */
export class StallGuard {
  readonly #clock: Clock;
  readonly #packets: Pick<PacketStream, "pause" | "resume">;
  readonly #sendQueueBytes: (socket: Socket) => Promise<number | undefined>;
  readonly #onStalled: (duplex: PacketDuplex) => void;
  readonly #accounts = new WeakMap<PacketDuplex, Account>();
  #culprit: Culprit | undefined;

  constructor(
    deps: {
      readonly clock: Clock;
      readonly packets: Pick<PacketStream, "pause" | "resume">;
      /** What the kernel holds for the peer of a socket, if it tells. Does not reject. Linux's table if left out. */
      readonly sendQueueBytes?: (socket: Socket) => Promise<number | undefined>;
    },
    options: { readonly onStalled: (duplex: PacketDuplex) => void },
  ) {
    this.#clock = deps.clock;
    this.#packets = deps.packets;
    this.#sendQueueBytes = deps.sendQueueBytes ?? kernelSendQueueBytes;
    this.#onStalled = options.onStalled;
  }

  /** For PacketDuplexOptions.onOverflow. */
  overflow(duplex: PacketDuplex): void {
    this.#packets.pause();
    const account = this.#accounts.get(duplex) ?? { debtMs: 0, creditedBytes: duplex.takenBytes, lumpBytes: 0 };
    this.#accounts.set(duplex, account);
    // What it took while nobody waited for it shows that it lives, too.
    this.#earn(account, duplex.takenBytes - account.creditedBytes);
    account.creditedBytes = duplex.takenBytes;
    const checkedAt = this.#clock.now();
    const unknown = { heldBytes: undefined, accountedHeldBytes: undefined, looking: false };
    this.#culprit = { duplex, account, checkedAt, ...unknown, stopCheck: () => {} };
    this.#checkLater(this.#culprit);
  }

  /** For PacketDuplexOptions.onRelief. */
  relief(duplex: PacketDuplex): void {
    const culprit = this.#culprit;
    if (culprit?.duplex !== duplex) return;
    this.#account(culprit);
    culprit.stopCheck();
    this.#culprit = undefined;
    this.#packets.resume();
  }

  #checkLater(culprit: Culprit): void {
    culprit.stopCheck = this.#clock.after(checkEveryMs, () => {
      // What the last look found is told only now: a reader is given up a check after its time is over.
      const wasOver = isOver(culprit.account);
      this.#account(culprit);
      if (wasOver && isOver(culprit.account)) this.#giveUp(culprit.duplex);
      else {
        this.#look(culprit);
        this.#checkLater(culprit);
      }
    });
  }

  #giveUp(duplex: PacketDuplex): void {
    this.#onStalled(duplex);
    duplex.destroy(new ProxyError("stalled", "the reader of this connection has stopped, and its neighbours waited"));
  }

  /** Finds out what the reader's socket holds, for the next check. One look at a time: each reads the table of all connections. */
  #look(culprit: Culprit): void {
    const { reader } = culprit.duplex;
    if (reader === undefined || culprit.looking) return;
    culprit.looking = true;
    void this.#sendQueueBytes(reader).then((queueBytes) => {
      culprit.looking = false;
      if (queueBytes !== undefined) culprit.heldBytes = queueBytes + reader.writableLength;
    });
  }

  /** Charges the time since the last check to the culprit, less what it has earned in it. */
  #account(culprit: Culprit): void {
    const { duplex, account, heldBytes } = culprit;
    const now = this.#clock.now();
    const taken = duplex.takenBytes - account.creditedBytes;
    const heldMore = (heldBytes ?? 0) - (culprit.accountedHeldBytes ?? heldBytes ?? 0);
    account.debtMs += Math.min(now - culprit.checkedAt, chargeMaxMs);
    account.lumpBytes = Math.max(account.lumpBytes, -heldMore);
    // Less than nothing left: TLS makes more of the bytes than they were, and the look was earlier than this.
    this.#earn(account, Math.max(0, taken - heldMore));
    account.creditedBytes = duplex.takenBytes;
    culprit.checkedAt = now;
    culprit.accountedHeldBytes = heldBytes;
  }

  #earn(account: Account, bytes: number): void {
    account.debtMs = Math.max(0, account.debtMs - earnedMs(bytes));
  }
}

const earnedMs = (bytes: number): number => (bytes * 1000) / aliveBytesPerSecond;

const isOver = ({ debtMs, lumpBytes }: Account): boolean =>
  debtMs >= Math.min(patienceMaxMs, Math.max(patienceMs, 2 * earnedMs(lumpBytes)));

import { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { ProxyError } from "../../../../shared/errors.ts";
import { PacketDuplex } from "../../../../shared/konnectivity/packet-duplex.ts";
import { PacketStream } from "../../../../shared/konnectivity/packet-stream.ts";
import { StallGuard } from "../../../../shared/konnectivity/stall-guard.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeGrpcStream } from "../../../support/fake-grpc-stream.ts";
import { turn } from "../../../support/turn.ts";

const queueMaxBytes = 1024 * 1024;
const chunkBytes = 32 * 1024;
const checkMs = 250;
/** What earns a second. */
const secondBytes = 64 * 1024;

/** A process that stands still for a while sees the time jump, and its timers late. */
class JumpingClock extends FakeClock {
  jumpedMs = 0;

  override now(): number {
    return super.now() + this.jumpedMs;
  }
}

/** Connections of one stream that the guard watches. `fill` puts packets in until the stream is paused. */
function guarded(deps: { readonly sendQueueBytes?: (socket: Socket) => Promise<number | undefined> } = {}) {
  const clock = new JumpingClock();
  const stream = new FakeGrpcStream();
  const meter = { sent() {}, received() {}, sendFailed() {}, receiveFailed() {} };
  const packets = new PacketStream(stream, { meter });
  const stalled: bigint[] = [];
  const guard = new StallGuard({ clock, packets, ...deps }, { onStalled: (duplex) => stalled.push(duplex.connectId) });
  const open = (connectId: bigint) =>
    new PacketDuplex({
      packets,
      connectId,
      queueMaxBytes,
      onOverflow: (duplex) => guard.overflow(duplex),
      onRelief: (duplex) => guard.relief(duplex),
      onClosing: () => {},
    });
  const fill = (duplex: PacketDuplex, packetBytes = chunkBytes) => {
    while (!stream.paused) duplex.deliver(Buffer.alloc(packetBytes));
  };
  /** Reads whole chunks until about `bytes` more were taken; packets come as they can meanwhile, as on a busy stream. */
  const take = (duplex: PacketDuplex, bytes: number) => {
    for (const until = duplex.takenBytes + bytes; duplex.takenBytes < until; ) {
      duplex.read();
      fill(duplex);
    }
  };
  return { clock, stream, stalled, open, fill, take };
}

/**
 * A reader behind a socket whose kernel holds up to `kernelBytes` and takes more only once a third of that is free. `pass` lets
 * time go by, in which the reader reads `bytesPerSecond`, and its kernel asks ours for more once it has room for `lumpBytes`;
 * ends early when the connection is reset.
 */
function behindSocket(kernelBytes: number) {
  let heldBytes = kernelBytes;
  let readBytes = 0;
  const looks: Socket[] = [];
  const sendQueueBytes = async (socket: Socket) => {
    looks.push(socket);
    return heldBytes;
  };
  const guard = guarded({ sendQueueBytes });
  const duplex = guard.open(1n);
  const socket: Socket = Object.defineProperty(new Socket(), "remoteAddress", { value: "127.0.0.1" });
  duplex.readBy(socket);
  guard.fill(duplex);
  const pass = async (seconds: number, bytesPerSecond: number, lumpBytes = 0) => {
    for (let passedMs = 0; passedMs < seconds * 1_000 && !duplex.destroyed; passedMs += checkMs) {
      readBytes += (bytesPerSecond * checkMs) / 1_000;
      if (readBytes >= lumpBytes) {
        heldBytes -= Math.min(heldBytes, readBytes);
        readBytes = 0;
      }
      if (heldBytes < (kernelBytes * 2) / 3) {
        const before = duplex.takenBytes;
        guard.take(duplex, kernelBytes - heldBytes);
        heldBytes += duplex.takenBytes - before;
      }
      guard.fill(duplex);
      guard.clock.advance(checkMs);
      await turn();
    }
  };
  return { ...guard, duplex, socket, looks, pass };
}

describe("a reader that is dead", () => {
  it("is reset at the check after two seconds, and the stream goes on", () => {
    const { clock, stream, stalled, open, fill } = guarded();
    const dead = open(1n);
    fill(dead);
    clock.advance(2_249);
    expect(dead.destroyed).toBe(false);
    clock.advance(1);
    expect(stalled).toEqual([1n]);
    expect(dead.errored).toMatchObject({ code: "stalled" });
    expect(stream.paused).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it("does not begin anew with each pause: two seconds in all", async () => {
    const { clock, stream, stalled, open, fill } = guarded();
    const dead = open(1n);
    for (let pauses = 0; pauses < 2; pauses += 1) {
      fill(dead, 1024);
      clock.advance(1_000);
      expect(stream.paused).toBe(true);
      while (stream.paused) dead.read();
      expect(clock.pending).toBe(0);
      await turn();
    }
    fill(dead, 1024);
    clock.advance(250);
    expect(stalled).toEqual([]);
    clock.advance(250);
    expect(stalled).toEqual([1n]);
  });

  it("does not take its neighbours with it", () => {
    const { clock, stalled, open, fill } = guarded();
    const [dead, next] = [open(1n), open(2n)];
    fill(dead);
    clock.advance(2_250);
    fill(next);
    clock.advance(2_000);
    expect(stalled).toEqual([1n]);
    expect(next.destroyed).toBe(false);
  });

  it("is charged for the time in which it was looked at, not for one in which this process stood still", () => {
    const { clock, stalled, open, fill } = guarded();
    fill(open(1n));
    clock.jumpedMs = 60_000;
    clock.advance(1_000);
    expect(stalled).toEqual([]);
    clock.advance(1_000);
    expect(stalled).toEqual([1n]);
  });
});

describe("a reader that is slow", () => {
  it.each([
    ["every check", checkMs],
    ["every second", 1_000],
    ["in bursts less than two seconds apart", 1_750],
  ])("is never reset at 64 KiB/s, %s", (_, everyMs) => {
    const { clock, stalled, open, fill, take } = guarded();
    const slow = open(1n);
    fill(slow);
    const startedBytes = slow.takenBytes;
    for (let passedMs = everyMs; passedMs < 300_000; passedMs += everyMs) {
      clock.advance(everyMs - 10);
      take(slow, startedBytes + (passedMs * secondBytes) / 1_000 - slow.takenBytes);
      clock.advance(10);
    }
    expect(stalled).toEqual([]);
  });

  it("gives the stream back as soon as it is below its limit", async () => {
    const { clock, stream, open, fill } = guarded();
    const slow = open(1n);
    fill(slow);
    expect(stream.paused).toBe(true);
    slow.resume();
    await turn();
    expect(stream.paused).toBe(false);
    expect(clock.pending).toBe(0);
  });
});

describe("a reader behind a socket that takes megabytes at a time", () => {
  const kernelBytes = 4 * 1024 * 1024;

  it("is never reset while the kernel's queue for it shrinks by 64 KiB/s, however long the socket takes nothing", async () => {
    const { duplex, stalled, socket, looks, pass } = behindSocket(kernelBytes);
    const startedBytes = duplex.takenBytes;
    await pass(300, secondBytes);
    expect(stalled).toEqual([]);
    // It did take in bursts, with more than twenty seconds between.
    expect(duplex.takenBytes - startedBytes).toBeGreaterThan(10 * 1024 * 1024);
    expect(looks[0]).toBe(socket);
    expect(looks.length).toBeLessThanOrEqual(4 * 300);
  });

  it("is reset within seconds when the kernel's queue for it stands, though it was alive before", async () => {
    const { clock, stalled, pass } = behindSocket(kernelBytes);
    await pass(60, 2 * secondBytes);
    expect(stalled).toEqual([]);
    const stoppedAt = clock.now();
    await pass(60, 0);
    expect(stalled).toEqual([1n]);
    expect(clock.now() - stoppedAt).toBeLessThanOrEqual(2_000 + 2 * checkMs);
    expect(clock.pending).toBe(0);
  });

  it("is never reset at 64 KiB/s in lumps that grow, and within five seconds and a check when it stops then", async () => {
    const { clock, stalled, pass } = behindSocket(kernelBytes);
    for (const lumpSeconds of [1, 2, 4]) await pass(60, secondBytes, lumpSeconds * secondBytes);
    expect(stalled).toEqual([]);
    const stoppedAt = clock.now();
    await pass(60, 0);
    expect(stalled).toEqual([1n]);
    expect(clock.now() - stoppedAt).toBeLessThanOrEqual(5_000 + 2 * checkMs);
  });

  it("is reset when the kernel's queue for it shrinks by less", async () => {
    const { stalled, pass } = behindSocket(kernelBytes);
    await pass(60, secondBytes / 4);
    expect(stalled).toEqual([1n]);
  });

  it("is judged by what it takes alone where the kernel tells nothing, or does not answer", async () => {
    for (const sendQueueBytes of [async () => undefined, () => new Promise<undefined>(() => {})]) {
      const { clock, stalled, open, fill } = guarded({ sendQueueBytes });
      const dead = open(1n);
      dead.readBy(Object.defineProperty(new Socket(), "remoteAddress", { value: "127.0.0.1" }));
      fill(dead);
      for (let checks = 0; checks < 9; checks += 1) {
        expect(stalled).toEqual([]);
        clock.advance(checkMs);
        await turn();
      }
      expect(stalled).toEqual([1n]);
    }
  });

  it("is looked at once at a time", async () => {
    const answers: ((bytes: number) => void)[] = [];
    const guard = guarded({ sendQueueBytes: () => new Promise<number>((resolve) => answers.push(resolve)) });
    const duplex = guard.open(1n);
    duplex.readBy(Object.defineProperty(new Socket(), "remoteAddress", { value: "127.0.0.1" }));
    guard.fill(duplex);
    guard.clock.advance(4 * checkMs);
    expect(answers.length).toBe(1);
    answers[0]?.(kernelBytes);
    await turn();
    guard.clock.advance(checkMs);
    expect(answers.length).toBe(2);
  });
});

it("gives the stream back when the connection ends for another reason", () => {
  const { clock, stream, stalled, open, fill } = guarded();
  const duplex = open(1n);
  fill(duplex);
  duplex.destroy(new ProxyError("cancelled", "the client has gone"));
  expect(stream.paused).toBe(false);
  expect(clock.pending).toBe(0);
  clock.advance(10_000);
  expect(stalled).toEqual([]);
});

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

/** Connections of one stream that the guard watches. `fill` puts packets in until the stream is paused. */
function guarded() {
  const clock = new FakeClock();
  const stream = new FakeGrpcStream();
  const meter = { sent() {}, received() {}, sendFailed() {}, receiveFailed() {} };
  const packets = new PacketStream(stream, { meter });
  const stalled: bigint[] = [];
  const guard = new StallGuard({ clock, packets }, { onStalled: (duplex) => stalled.push(duplex.connectId) });
  const open = (connectId: bigint) =>
    new PacketDuplex({
      packets,
      connectId,
      queueMaxBytes,
      onOverflow: (duplex) => guard.overflow(duplex),
      onRelief: (duplex) => guard.relief(duplex),
      onClosing: () => {},
    });
  const fill = (duplex: PacketDuplex) => {
    while (!stream.paused) duplex.deliver(Buffer.alloc(chunkBytes));
  };
  /** Reads whole chunks until about `bytes` more were taken. */
  const take = (duplex: PacketDuplex, bytes: number) => {
    for (const until = duplex.takenBytes + bytes; duplex.takenBytes < until; ) duplex.read();
  };
  return { clock, stream, stalled, open, fill, take };
}

describe("a reader that is dead", () => {
  it("is reset after two seconds, and the stream goes on", () => {
    const { clock, stream, stalled, open, fill } = guarded();
    const dead = open(1n);
    fill(dead);
    clock.advance(1_999);
    expect(dead.destroyed).toBe(false);
    clock.advance(1);
    expect(stalled).toEqual([1n]);
    expect(dead.errored).toMatchObject({ code: "stalled" });
    expect(stream.paused).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it("does not begin anew with each pause: two seconds in all", async () => {
    const { clock, stream, stalled, open, fill, take } = guarded();
    const dead = open(1n);
    for (let pauses = 0; pauses < 3; pauses += 1) {
      fill(dead);
      clock.advance(600);
      take(dead, dead.queuedCharge - queueMaxBytes + 1);
      expect(stream.paused).toBe(false);
      expect(clock.pending).toBe(0);
      await turn();
    }
    fill(dead);
    clock.advance(400);
    expect(stalled).toEqual([]);
    clock.advance(250);
    expect(stalled).toEqual([1n]);
  });

  it("does not take its neighbours with it", () => {
    const { clock, stalled, open, fill } = guarded();
    const [dead, next] = [open(1n), open(2n)];
    fill(dead);
    clock.advance(2_000);
    fill(next);
    clock.advance(1_750);
    expect(stalled).toEqual([1n]);
    expect(next.destroyed).toBe(false);
  });
});

describe("a reader that is slow", () => {
  it("is never reset, however long its neighbours wait", () => {
    const { clock, stream, stalled, open, fill, take } = guarded();
    const slow = open(1n);
    fill(slow);
    // 64 KiB/s in steps of a check's length, until what came over the limit has been taken.
    for (let seconds = 0; seconds < 300; seconds += 1) {
      for (let quarter = 0; quarter < 4; quarter += 1) {
        clock.advance(240);
        take(slow, 16 * 1024);
        clock.advance(10);
      }
      if (!stream.paused) fill(slow);
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

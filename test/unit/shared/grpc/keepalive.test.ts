import { beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../../../shared/clock.ts";
import { Keepalive, type KeepaliveOptions, Liveness } from "../../../../shared/grpc/keepalive.ts";

/** Time that stands still but for `advance`, which runs what falls due on the way. */
class TestClock implements Clock {
  #now = 0;
  #timers = new Set<{ readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, run: callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
  }

  /** Moves on without running anything, as when the process stands still. */
  freeze(ms: number): void {
    this.#now += ms;
  }
}

let clock: TestClock;
let bytes: number;
let pings: number[];
let givenUpAt: number | undefined;

function start(options: KeepaliveOptions): Keepalive {
  const keepalive = new Keepalive(
    {
      clock,
      liveness: new Liveness(clock, () => bytes),
      ping: () => pings.push(clock.now()),
      giveUp: () => {
        givenUpAt = clock.now();
      },
    },
    options,
  );
  return keepalive;
}

beforeEach(() => {
  clock = new TestClock();
  bytes = 0;
  pings = [];
  givenUpAt = undefined;
});

describe("every 4 s, given up after 12 s", () => {
  const options = { intervalMs: 4_000, timeoutMs: 12_000 };

  test("a silent peer is asked twice and given up", () => {
    start(options);
    clock.advance(60_000);
    expect(pings).toEqual([4_000, 8_000]);
    expect(givenUpAt).toBe(12_000);
    expect(clock.timerCount).toBe(0);
  });

  test("any byte is a proof of life", () => {
    start(options);
    for (let index = 0; index < 100; index++) {
      bytes += 1;
      clock.advance(11_000);
    }
    expect(givenUpAt).toBeUndefined();
  });

  test("a peer that talks is not asked", () => {
    start(options);
    for (let index = 0; index < 100; index++) {
      bytes += 1;
      clock.advance(2_000);
    }
    expect(pings).toEqual([]);
  });

  test("time in which this process stood still is not held against the peer", () => {
    start(options);
    clock.advance(3_000);
    clock.freeze(60_000);
    clock.advance(1_000);
    expect(givenUpAt).toBeUndefined();
    clock.advance(12_000);
    expect(givenUpAt).toBeDefined();
  });

  test("nothing happens after stop", () => {
    start(options).stop();
    clock.advance(60_000);
    expect(pings).toEqual([]);
    expect(givenUpAt).toBeUndefined();
    expect(clock.timerCount).toBe(0);
  });
});

test("a peer that falls silent between two samples is given up half a second late at most, also where the times are long", () => {
  start({ intervalMs: 31_000, timeoutMs: 44_000 });
  clock.advance(10_001);
  bytes = 1;
  clock.advance(60_000);
  expect(pings).toHaveLength(1);
  expect(givenUpAt).toBeGreaterThanOrEqual(54_001);
  expect(givenUpAt).toBeLessThanOrEqual(54_501);
});

test("a timeout shorter than the interval counts from the PING, as gRPC's does", () => {
  start({ intervalMs: 3_600_000, timeoutMs: 20_000 });
  clock.advance(3_599_999);
  expect(pings).toEqual([]);
  clock.advance(1_000_000);
  expect(pings).toEqual([3_600_000]);
  expect(givenUpAt).toBe(3_620_000);
});

test("silence is counted from the last byte seen", () => {
  const liveness = new Liveness(clock, () => bytes);
  clock.advance(500);
  expect(liveness.silentMs()).toBe(500);
  bytes = 1;
  expect(liveness.silentMs()).toBe(0);
  clock.advance(700);
  expect(liveness.silentMs()).toBe(700);
});

import { describe, expect, it } from "vitest";
import { lanesMax, SpareLanes } from "../../../../agent/links/spare-lanes.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

/** Lanes are numbers here; the server is the test. */
function scene() {
  const clock = new FakeClock();
  let opening = 0;
  let lastLane = 0;
  const idle: number[] = [];
  const busy: number[] = [];
  const closing: number[] = [];
  const spares: SpareLanes<number> = new SpareLanes<number>(clock, {
    open: () => {
      opening += 1;
    },
    close: (lane) => {
      idle.splice(idle.indexOf(lane), 1);
      closing.push(lane);
    },
  });
  return {
    clock,
    spares,
    idle,
    busy,
    closing,
    get opening() {
      return opening;
    },
    /** The server takes the lanes that are asked for. */
    open() {
      while (opening > 0) {
        opening -= 1;
        idle.push(++lastLane);
        spares.opened(lastLane);
      }
    },
    /** The server refuses one. */
    fail() {
      opening -= 1;
      spares.failed();
    },
    dial(count: number) {
      for (let dialed = 0; dialed < count; dialed++) {
        const lane = idle.pop();
        if (lane === undefined) throw new Error("no idle lane");
        busy.push(lane);
        spares.busy(lane);
        this.open();
      }
    },
    rest(count: number) {
      for (const lane of busy.splice(0, count)) {
        idle.push(lane);
        spares.idle(lane);
      }
    },
    /** The server ends an idle lane. */
    lose() {
      const lane = idle.pop();
      if (lane === undefined) throw new Error("no idle lane");
      spares.closed(lane);
    },
  };
}

describe("how many lanes are spare", () => {
  it("four from the start, and never fewer", () => {
    const lanes = scene();
    expect(lanes.opening).toBe(0);
    lanes.spares.start();
    lanes.spares.start();
    lanes.open();
    expect(lanes.idle).toHaveLength(4);
  });

  it.each([
    [1, 4],
    [32, 4],
    [33, 5],
    [80, 10],
    [511, 64],
    [2_000, 64],
  ])("with %i in use, %i", (inUse, spare) => {
    const lanes = scene();
    lanes.spares.start();
    lanes.open();
    lanes.dial(inUse);
    expect(lanes.idle).toHaveLength(spare);
  });

  it("as many more as dials wait for, counting what is idle and what is on its way", () => {
    const lanes = scene();
    lanes.spares.start();
    lanes.open();
    lanes.spares.wanted(10);
    expect(lanes.opening).toBe(10);
    lanes.spares.wanted(10);
    expect(lanes.opening).toBe(10);
    lanes.spares.wanted(12);
    expect(lanes.opening).toBe(12);
  });

  it("never over 20,000, whatever the server says that it wants", () => {
    const lanes = scene();
    lanes.spares.start();
    lanes.open();
    lanes.dial(10);
    for (let asked = 0; asked < 3; asked++) lanes.spares.wanted(0xffff_ffff);
    expect(lanes.opening + lanes.idle.length + lanes.busy.length).toBe(lanesMax);
    lanes.open();
    lanes.spares.wanted(0xffff_ffff);
    expect(lanes.opening).toBe(0);
  });
});

describe("lanes that are not needed", () => {
  it("are closed after 30 s, the longest idle first, and those that were of use stay", () => {
    const lanes = scene();
    lanes.spares.start();
    lanes.open();
    lanes.dial(100);
    lanes.rest(100);
    const before = lanes.idle.length;
    lanes.clock.advance(29_999);
    expect(lanes.closing).toEqual([]);
    lanes.clock.advance(1);
    // At the start of that half minute only the four were idle, so the next one decides.
    lanes.dial(20);
    lanes.rest(20);
    lanes.clock.advance(30_000);
    expect(lanes.idle).toHaveLength(24);
    expect(lanes.closing).toHaveLength(before - 24);
    for (const lane of lanes.closing) lanes.spares.closed(lane);
    lanes.clock.advance(60_000);
    expect(lanes.idle).toHaveLength(4);
    expect(lanes.opening).toBe(0);
  });
});

describe("a lane that is lost", () => {
  it("is followed by another at once if it had been of use", () => {
    const lanes = scene();
    lanes.spares.start();
    lanes.open();
    lanes.dial(1);
    lanes.rest(1);
    lanes.lose();
    expect(lanes.idle.length + lanes.opening).toBe(4);
  });

  it("is followed by another after a second if it had not, so that a server that ends each is not asked without end", () => {
    const lanes = scene();
    lanes.spares.start();
    lanes.open();
    for (let lost = 0; lost < 4; lost++) lanes.lose();
    lanes.clock.advance(999);
    expect(lanes.opening).toBe(0);
    lanes.clock.advance(1);
    expect(lanes.opening).toBe(4);
  });

  it("is followed by another after a second if it never opened", () => {
    const lanes = scene();
    lanes.spares.start();
    for (let failed = 0; failed < 4; failed++) lanes.fail();
    expect(lanes.opening).toBe(0);
    lanes.clock.advance(1_000);
    expect(lanes.opening).toBe(4);
  });
});

it("does nothing before the start and after the stop, and leaves no timer", () => {
  const lanes = scene();
  lanes.spares.wanted(5);
  expect(lanes.opening).toBe(0);
  lanes.spares.start();
  lanes.open();
  lanes.spares.stop();
  lanes.spares.wanted(100);
  lanes.lose();
  expect([lanes.opening, lanes.clock.pending]).toEqual([0, 0]);
});

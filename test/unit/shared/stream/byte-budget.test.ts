import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../../../shared/errors.ts";
import type { GrpcError } from "../../../../shared/grpc/status.ts";
import type { WatchedCall } from "../../../../shared/grpc/stream.ts";
import { silentLog } from "../../../../shared/log.ts";
import { type BudgetedConnection, ByteBudget } from "../../../../shared/stream/byte-budget.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

const mebibyte = 1024 * 1024;

/** A connection that holds bytes for a reader that takes none of them unless the test says so. */
class StuckConnection implements BudgetedConnection {
  ownBytes: number;
  streamBytes = 0;
  takenBytes = 0;
  waiting = true;
  readonly resets: ErrorCode[] = [];
  probeCount = 0;
  /** Given by the budget, called as a splice does when it ends. */
  forget = () => {};

  constructor(bytes: number) {
    this.ownBytes = bytes;
  }

  get heldBytes(): number {
    return this.ownBytes + this.streamBytes;
  }

  get flows() {
    return [
      { takenBytes: 0, waiting: false },
      { takenBytes: this.takenBytes, waiting: this.waiting },
    ];
  }

  probeFrontend(): void {
    this.probeCount += 1;
  }

  reset(code: ErrorCode): void {
    this.resets.push(code);
    this.forget();
  }
}

class FakeCall implements WatchedCall {
  heldBytes = 0;
  unfinishedBytes: number;
  readonly refusals: GrpcError[] = [];

  constructor(unfinishedBytes: number) {
    this.unfinishedBytes = unfinishedBytes;
  }

  refuseUnfinished(error: GrpcError): void {
    this.refusals.push(error);
    this.unfinishedBytes = 0;
  }
}

function budgeted(maxBytes: number) {
  const clock = new FakeClock();
  let resetCount = 0;
  const onReset = () => {
    resetCount += 1;
  };
  const budget = new ByteBudget({ clock, log: silentLog }, { maxBytes, onReset });
  const add = (...sizes: readonly number[]) =>
    sizes.map((bytes) => {
      const connection = new StuckConnection(bytes);
      connection.forget = budget.addConnection(connection, silentLog);
      return connection;
    });
  return { clock, budget, add, resetCount: () => resetCount };
}

describe("R-1.3: past the budget", () => {
  it("the largest of the stalled connections is reset, and no more than have to be", () => {
    const { clock, budget, add, resetCount } = budgeted(100);
    const connections = add(30, 50, 40, 20);
    clock.advance(10_000);
    expect(connections.map(({ resets }) => resets)).toEqual([[], ["over_limit"], [], []]);
    expect([budget.heldBytes, resetCount()]).toEqual([90, 1]);
  });

  it("connections are compared by all that they hold, streams included", () => {
    const { clock, add } = budgeted(100);
    const [buffered, streaming] = add(50, 10);
    if (streaming !== undefined) streaming.streamBytes = 60;
    clock.advance(10_000);
    expect([buffered?.resets, streaming?.resets]).toEqual([[], ["over_limit"]]);
  });

  it("one whose reader takes something is left alone, however much it holds", () => {
    const { clock, add } = budgeted(100);
    const [slow, small] = add(150, 1);
    for (let turn = 0; turn < 10; turn++) {
      if (slow !== undefined) slow.takenBytes += 1;
      clock.advance(4_000);
    }
    expect([slow?.resets, small?.resets]).toEqual([[], ["over_limit"]]);
  });

  it("a reader gets five seconds, and one where more than twice the budget is held", () => {
    const stalledFor = (bytes: number, ms: number) => {
      const { clock, add } = budgeted(100);
      const [connection] = add(bytes);
      clock.advance(ms);
      return connection?.resets.length;
    };
    expect([stalledFor(150, 4_900), stalledFor(150, 6_000)]).toEqual([0, 1]);
    expect([stalledFor(250, 900), stalledFor(250, 2_000)]).toEqual([0, 1]);
  });

  it("one for whose reader nothing waits is left alone", () => {
    const { clock, add } = budgeted(100);
    const [idle] = add(500);
    if (idle !== undefined) idle.waiting = false;
    clock.advance(10_000);
    expect(idle?.resets).toEqual([]);
  });

  it("a large one that came while too much was held already is waited for likewise", () => {
    const { clock, add } = budgeted(100);
    const small = add(30, 30);
    const [first] = add(500);
    clock.advance(500);
    const [second] = add(500);
    clock.advance(5_000);
    expect([first, second, ...small].map((connection) => connection?.resets)).toEqual([
      ["over_limit"],
      ["over_limit"],
      [],
      [],
    ]);
  });

  it("nothing is reset before the largest has had its time, so that no smaller one goes for it", () => {
    const { clock, add } = budgeted(100);
    const small = add(30, 30);
    clock.advance(5_500);
    const [large] = add(100);
    clock.advance(4_900);
    expect(large?.resets).toEqual([]);
    clock.advance(600);
    expect(large?.resets).toEqual(["over_limit"]);
    expect(small.map(({ resets }) => resets)).toEqual([[], []]);
  });

  it("the largest message that does not come to its end goes where connections do not hold that much", () => {
    const { clock, budget, add, resetCount } = budgeted(mebibyte);
    const [connection] = add(1_000);
    const calls = [new FakeCall(mebibyte / 2), new FakeCall(mebibyte), new FakeCall(1_000)];
    budget.addCalls(calls);
    clock.advance(12_000);
    expect(connection?.resets).toEqual([]);
    expect(calls.map(({ refusals }) => refusals.length)).toEqual([0, 1, 0]);
    expect(resetCount()).toBe(1);
  });

  it("short unfinished messages are on their way, and stay", () => {
    const { clock, budget } = budgeted(1_000);
    const calls = Array.from({ length: 100 }, () => new FakeCall(128 * 1024));
    budget.addCalls(calls);
    clock.advance(10_000);
    expect(calls.every(({ refusals }) => refusals.length === 0)).toBe(true);
  });
});

it("below the budget nothing is reset, whoever is stalled, and those are counted", () => {
  const { clock, budget, add } = budgeted(100);
  const [first] = add(50, 50);
  expect(budget.stalledCount).toBe(0);
  clock.advance(1_000);
  expect(budget.stalledCount).toBe(2);
  if (first !== undefined) first.takenBytes += 1;
  expect(budget.stalledCount).toBe(1);
  clock.advance(60_000);
  expect(first?.resets).toEqual([]);
});

it("R-3.4: whose reader has stopped is asked again and again whether its client is there, and nobody else is", () => {
  const { clock, add } = budgeted(100);
  const [stalled, moving, idle] = add(1, 1, 1);
  if (idle !== undefined) idle.waiting = false;
  for (let second = 0; second < 4; second++) {
    if (moving !== undefined) moving.takenBytes += 1;
    clock.advance(1_000);
  }
  expect([stalled, moving, idle].map((connection) => connection?.probeCount)).toEqual([4, 0, 0]);
});

it("all bytes are counted once, those of calls without a connection too", () => {
  const { budget, add } = budgeted(100);
  const [connection] = add(5);
  const call = new FakeCall(3);
  call.heldBytes = 70;
  if (connection !== undefined) connection.streamBytes = 70;
  budget.addCalls([call]);
  expect(budget.heldBytes).toBe(78);
});

it("counts nothing and waits for nothing once all has gone", () => {
  const { clock, budget, add } = budgeted(100);
  const calls = new Set([new FakeCall(9)]);
  const forgetCalls = budget.addCalls(calls);
  const [connection] = add(5);
  clock.advance(5_000);
  expect(clock.pending).toBe(1);
  connection?.forget();
  forgetCalls();
  expect([budget.heldBytes, clock.pending]).toEqual([0, 0]);
});

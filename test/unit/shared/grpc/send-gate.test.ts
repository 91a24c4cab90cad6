import { expect, test } from "vitest";
import { BacklogGate, type GateWaiter } from "../../../../shared/grpc/send-gate.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

const kib = 1024;

function make() {
  const clock = new FakeClock();
  const socket = { backlogBytes: 0 };
  const gate = new BacklogGate({ clock }, () => socket.backlogBytes);
  const opened: string[] = [];
  /** A stream that does `then` when it may go on. */
  const waiter = (name: string, then: (self: GateWaiter) => void = () => {}): GateWaiter => {
    const self = {
      gateOpened() {
        opened.push(name);
        then(self);
      },
    };
    return self;
  };
  return { clock, socket, gate, opened, waiter };
}

test("is full from 256 KiB in the socket, and for a short message from 4 MiB", () => {
  const { socket, gate } = make();
  for (const [backlog, long, short] of [
    [256 * kib - 1, false, false],
    [256 * kib, true, false],
    [4096 * kib - 1, true, false],
    [4096 * kib, true, true],
  ] as const) {
    socket.backlogBytes = backlog;
    for (const bytes of [0, 4097]) expect(gate.fullFor(bytes)).toBe(long);
    for (const bytes of [1, 4096]) expect(gate.fullFor(bytes)).toBe(short);
  }
});

test("opens for those who wait in turn, once 128 KiB are left, and only while it stays so", () => {
  const { socket, gate, opened, waiter } = make();
  socket.backlogBytes = 300 * kib;
  const write = () => {
    socket.backlogBytes += 64 * kib;
  };
  for (const name of ["first", "second", "third"]) gate.wait(waiter(name, write));
  socket.backlogBytes = 129 * kib;
  gate.open();
  expect(opened).toEqual([]);
  socket.backlogBytes = 65 * kib;
  gate.open();
  expect(opened).toEqual(["first"]);
  socket.backlogBytes = 0;
  gate.open();
  expect(opened).toEqual(["first", "second", "third"]);
});

test("is full while HTTP/2 has 1 MiB that it has not passed on, whatever the socket has", () => {
  const { gate, opened, waiter } = make();
  const streams = Array.from({ length: 16 }, (_, index) => waiter(`stream ${index}`));
  for (const stream of streams) {
    expect(gate.fullFor(64 * kib)).toBe(false);
    gate.given(stream, 64 * kib);
  }
  expect(gate.fullFor(64 * kib)).toBe(true);
  expect(gate.fullFor(40)).toBe(false);
  for (const name of ["next", "the one after"]) gate.wait(waiter(name, (self) => gate.given(self, 64 * kib)));
  gate.open();
  expect(opened).toEqual([]);
  gate.taken(streams[0] as GateWaiter);
  expect(opened).toEqual(["next"]);
  gate.taken(streams[1] as GateWaiter);
  expect(opened).toEqual(["next", "the one after"]);
});

test("a stream that others overtake has its own window used up, and keeps nobody waiting", () => {
  const { gate, waiter } = make();
  const stalled = Array.from({ length: 15 }, (_, index) => waiter(`stalled ${index}`));
  for (const stream of stalled) gate.given(stream, 64 * kib);
  const short = waiter("short");
  gate.given(short, 40);
  gate.taken(short);
  const lively = waiter("lively");
  gate.given(lively, 64 * kib);
  expect(gate.fullFor(64 * kib)).toBe(true);
  gate.taken(lively);
  for (let count = 0; count < 15; count++) gate.given(waiter(`${count}`), 64 * kib);
  expect(gate.fullFor(64 * kib)).toBe(false);
});

test("when nothing is taken for 50 ms though the socket is free, those who wait go on", () => {
  const { clock, socket, gate, opened, waiter } = make();
  const slow = waiter("slow");
  gate.given(slow, 1024 * kib);
  for (const name of ["first", "second"]) gate.wait(waiter(name, (self) => gate.given(self, 1024 * kib)));
  clock.advance(49);
  expect(opened).toEqual([]);
  clock.advance(1);
  expect(opened).toEqual(["first"]);
  socket.backlogBytes = 200 * kib;
  clock.advance(50);
  expect(opened).toEqual(["first"]);
  socket.backlogBytes = 0;
  gate.taken(slow);
  clock.advance(50);
  expect(opened).toEqual(["first"]);
  clock.advance(50);
  expect(opened).toEqual(["first", "second"]);
  clock.advance(1_000);
  expect(clock.pending).toBe(0);
});

test("a stream that is gone holds nothing, and none is told after the end", () => {
  const { clock, gate, opened, waiter } = make();
  const gone = waiter("gone");
  gate.given(gone, 1024 * kib);
  gate.wait(gone);
  gate.forget(gone);
  expect(gate.fullFor(64 * kib)).toBe(false);
  gate.open();
  gate.wait(waiter("late"));
  gate.close();
  gate.open();
  clock.advance(1_000);
  expect(opened).toEqual([]);
  expect(clock.pending).toBe(0);
});

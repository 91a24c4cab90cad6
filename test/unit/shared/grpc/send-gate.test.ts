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

test("is full from 256 KiB in the socket, and for a short message from 2 MiB", () => {
  const { socket, gate } = make();
  for (const [backlog, long, short] of [
    [256 * kib - 1, false, false],
    [256 * kib, true, false],
    [2048 * kib - 1, true, false],
    [2048 * kib, true, true],
  ] as const) {
    socket.backlogBytes = backlog;
    expect(gate.fullFor(4097)).toBe(long);
    for (const bytes of [0, 1, 4096]) expect(gate.fullFor(bytes)).toBe(short);
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

test("a write that 4 MiB have overtaken is held up by its own stream's window, and keeps nobody waiting", () => {
  const { gate, waiter } = make();
  for (let count = 0; count < 15; count++) gate.given(waiter(`stalled ${count}`), 127 * kib);
  const free = () => !gate.fullFor(64 * kib);
  expect(free()).toBe(false);
  const lively = waiter("lively");
  for (let count = 1; count <= 64; count++) {
    expect(free()).toBe(false);
    gate.given(lively, 64 * kib);
    gate.taken(lively);
  }
  expect(free()).toBe(true);
});

test("a write that is 100 ms old is, too, while the connection's window is open and the socket free", () => {
  const { clock, socket, gate, opened, waiter } = make();
  const state = { remoteWindowSize: 0 };
  gate.useSession({ state });
  gate.given(waiter("stalled"), 1024 * kib);
  gate.wait(waiter("first", (self) => gate.given(self, 1024 * kib)));
  clock.advance(500);
  expect(opened).toEqual([]);
  state.remoteWindowSize = 1;
  socket.backlogBytes = 200 * kib;
  clock.advance(500);
  expect(opened).toEqual([]);
  socket.backlogBytes = 0;
  clock.advance(50);
  expect(opened).toEqual(["first"]);
  clock.advance(1_000);
  expect(clock.pending).toBe(0);
});

test("short messages, which go by the gate, do not keep those that stall counted", () => {
  const { clock, gate, opened, waiter } = make();
  for (let count = 0; count < 16; count++) gate.given(waiter(`stalled ${count}`), 64 * kib);
  gate.wait(waiter("next"));
  const short = waiter("short");
  for (let count = 0; count < 10; count++) {
    gate.given(short, 40);
    gate.taken(short);
    clock.advance(10);
  }
  expect(opened).toEqual(["next"]);
});

test("behind a thousand that stall at once the next waits for half a second, not for a tick for each few", () => {
  const { clock, gate, opened, waiter } = make();
  for (let count = 0; count < 1_000; count++) gate.wait(waiter("stalled", (self) => gate.given(self, 64 * kib)));
  gate.wait(waiter("lively"));
  gate.open();
  clock.advance(600);
  expect(opened).toContain("lively");
});

test("a stream that is gone holds nothing, those who wait go on then, and none is told after the end", async () => {
  const { clock, gate, opened, waiter } = make();
  const gone = waiter("gone");
  gate.given(gone, 1024 * kib);
  gate.wait(gone);
  gate.wait(waiter("next"));
  gate.forget(gone);
  expect(gate.fullFor(64 * kib)).toBe(false);
  expect(opened).toEqual([]);
  await Promise.resolve();
  expect(opened).toEqual(["next"]);
  gate.wait(waiter("late"));
  gate.close();
  gate.wait(waiter("later"));
  gate.open();
  clock.advance(1_000);
  expect(opened).toEqual(["next"]);
  expect(clock.pending).toBe(0);
});

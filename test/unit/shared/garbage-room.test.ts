import { expect, test } from "vitest";
import { giveGarbageRoom } from "../../../shared/garbage-room.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const mebibyte = 1024 * 1024;

test("the room for garbage is 64 MiB while the heap is small, and V8 decides from there on", () => {
  const clock = new FakeClock();
  const heap = { mebibytes: 8, growths: [] as number[] };
  giveGarbageRoom(clock, {
    usedBytes: () => heap.mebibytes * mebibyte,
    setGrowth: (percent) => heap.growths.push(percent),
  });
  const after = (mebibytes: number) => {
    heap.mebibytes = mebibytes;
    clock.advance(1_000);
  };
  // What hardly differs is not worth a change.
  for (const mebibytes of [8, 9, 16, 32, 64, 500, 16]) after(mebibytes);
  expect(heap.growths).toEqual([800, 400, 200, 0, 400]);
});

import { getHeapStatistics, setFlagsFromString } from "node:v8";
import type { Clock } from "./clock.ts";

/** What may gather between two collections of all garbage. Twice as much is no faster; half as much costs a third of the rate. */
const roomBytes = 64 * 1024 * 1024;
const lookEveryMs = 1_000;
/** The room is set anew when it would differ by a factor of this. */
const worthwhile = 1.25;

/** V8's heap, as far as it matters here. */
export interface Heap {
  usedBytes(): number;
  /** By how much it may grow before all garbage is collected, in percent of what is then alive; 0 leaves it to V8. */
  setGrowth(percent: number): void;
}

const v8Heap: Heap = {
  usedBytes: () => getHeapStatistics().used_heap_size,
  setGrowth: (percent) => setFlagsFromString(`--heap-growing-percent=${percent}`),
};

/**
 * Lets garbage gather where the heap is small. V8 collects it all when what was allocated since the last time has reached a part of what
 * is alive, and counts the bytes of Buffers in full: a half has some 10 MB alive, and so one that carried 140 MB/s did that 27 times
 * a second, on five threads. With room for 64 MiB it carries twice as much for half of the CPU time (Node 20.20.2, 2 cores; Node 24.21
 * half as much again). Where 64 MiB or more are alive V8's own rule leaves as much. Goes on for as long as the process runs.
 */
export function giveGarbageRoom(clock: Clock, heap: Heap = v8Heap): void {
  let present = 0;
  const look = () => {
    const wanted = growthFor(heap.usedBytes());
    if (Math.max(wanted, present) > worthwhile * Math.min(wanted, present)) {
      present = wanted;
      heap.setGrowth(wanted);
    }
    clock.after(lookEveryMs, look);
  };
  look();
}

function growthFor(usedBytes: number): number {
  return usedBytes >= roomBytes ? 0 : Math.round((100 * roomBytes) / usedBytes);
}

import { expect, it } from "vitest";
import { ProgressWatch } from "../../../../server/links/progress-watch.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

function scene() {
  const clock = new FakeClock();
  const told: string[] = [];
  const dials = { pending: 0 };
  const watch = new ProgressWatch(
    { clock, pendingDials: () => dials.pending, probe: () => told.push("probe") },
    {
      onSilent: () => told.push("silent"),
      giveUp: () => told.push("give up"),
      onAnswering: () => told.push("answering"),
    },
  );
  const ask = () => {
    dials.pending += 1;
    watch.asked();
  };
  return { clock, told, dials, watch, ask };
}

it("probes after two seconds without an answer, and calls it silent after two more", () => {
  const { clock, told, ask } = scene();
  ask();
  clock.advance(1_999);
  expect(told).toEqual([]);
  clock.advance(1);
  expect(told).toEqual(["probe"]);
  clock.advance(2_000);
  expect(told).toEqual(["probe", "silent", "give up", "probe"]);
});

it("gives up at each probe what waits for a silent agent", () => {
  const { clock, told, dials, ask } = scene();
  ask();
  clock.advance(4_000);
  dials.pending = 0;
  clock.advance(2_000);
  expect(told.splice(0)).toEqual(["probe", "silent", "give up", "probe", "probe"]);
  ask();
  clock.advance(2_000);
  expect(told).toEqual(["give up", "probe"]);
});

it("counts from the first dial: more of them put nothing off", () => {
  const { clock, told, ask } = scene();
  for (let count = 0; count < 4; count++) {
    ask();
    clock.advance(500);
  }
  expect(told).toEqual(["probe"]);
});

it("goes on probing a silent agent that has no dials any more, until any answer", () => {
  const { clock, told, dials, watch, ask } = scene();
  ask();
  clock.advance(4_000);
  dials.pending = 0;
  clock.advance(4_000);
  expect(told.filter((what) => what === "probe")).toHaveLength(4);
  watch.answered();
  expect(told.at(-1)).toBe("answering");
  expect(clock.pending).toBe(0);
});

it("begins anew with each answer while dials wait", () => {
  const { clock, told, dials, watch, ask } = scene();
  ask();
  ask();
  clock.advance(1_900);
  dials.pending = 1;
  watch.answered();
  clock.advance(1_900);
  expect(told).toEqual([]);
  clock.advance(100);
  expect(told).toEqual(["probe"]);
  watch.answered();
  clock.advance(2_000);
  expect(told).toEqual(["probe", "probe"]);
});

it("rests when no dial waits", () => {
  const { clock, told, dials, ask } = scene();
  ask();
  dials.pending = 0;
  clock.advance(10_000);
  expect([told, clock.pending]).toEqual([[], 0]);
  ask();
  clock.advance(2_000);
  expect(told).toEqual(["probe"]);
});

it("does not hold an unanswered probe against an agent for longer than its dials wait: a new dial is probed again", () => {
  const { clock, told, watch, dials, ask } = scene();
  ask();
  clock.advance(2_000);
  dials.pending = 0;
  watch.answered();
  ask();
  clock.advance(2_000);
  expect(told).toEqual(["probe", "probe"]);
});

it("does not hold it against an agent that this process stood still", () => {
  const { clock, told, watch, ask } = scene();
  ask();
  clock.advance(2_000);
  clock.stall(3_000);
  expect(told).toEqual(["probe"]);
  watch.answered();
  expect(told).toEqual(["probe"]);
  clock.advance(2_000);
  clock.stall(3_000);
  clock.advance(1_000);
  expect(told).toEqual(["probe", "probe", "silent", "give up", "probe"]);
});

it("tells nothing after it was stopped", () => {
  const { clock, told, watch, ask } = scene();
  ask();
  watch.stop();
  clock.advance(10_000);
  expect([told, clock.pending]).toEqual([[], 0]);
});

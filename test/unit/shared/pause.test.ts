import { expect, it } from "vitest";
import { pause } from "../../../shared/pause.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { turn } from "../../support/turn.ts";

function paused(signal: AbortSignal) {
  const clock = new FakeClock();
  let over = false;
  void pause(clock, 100, { signal }).then(() => {
    over = true;
  });
  return { clock, over: () => over };
}

it("ends after its time", async () => {
  const { clock, over } = paused(new AbortController().signal);
  clock.advance(99);
  await turn();
  expect(over()).toBe(false);
  clock.advance(1);
  await turn();
  expect(over()).toBe(true);
});

it("ends at once when its signal aborts, and leaves no timer", async () => {
  const controller = new AbortController();
  const { clock, over } = paused(controller.signal);
  controller.abort();
  await turn();
  expect([over(), clock.pending]).toEqual([true, 0]);
});

it("does not begin on a signal that has aborted", async () => {
  const { clock, over } = paused(AbortSignal.abort());
  await turn();
  expect([over(), clock.pending]).toEqual([true, 0]);
});

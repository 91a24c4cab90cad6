import { expect, it } from "vitest";
import { Cancellation } from "../../../shared/cancellation.ts";
import { FakeClock } from "../../support/fake-clock.ts";

function cancellable(signal?: AbortSignal) {
  const clock = new FakeClock();
  const controller = new AbortController();
  const limit = new Cancellation({ clock }, { controller, signal, limitMs: 100, lateReason: () => "too late" });
  return { clock, limit, controller };
}

it("passes on an abort with its reason, also one that came before", () => {
  const outer = new AbortController();
  const { controller } = cancellable(outer.signal);
  outer.abort("not wanted");
  expect(controller.signal.reason).toBe("not wanted");
  expect(cancellable(AbortSignal.abort("never wanted")).controller.signal.reason).toBe("never wanted");
});

it("aborts when its time is over, and keeps the first reason", () => {
  const outer = new AbortController();
  const { clock, controller } = cancellable(outer.signal);
  clock.advance(99);
  expect(controller.signal.aborted).toBe(false);
  clock.advance(1);
  outer.abort("not wanted");
  expect(controller.signal.reason).toBe("too late");
});

it("is granted new time", () => {
  const { clock, limit, controller } = cancellable();
  clock.advance(99);
  limit.restart(50);
  clock.advance(49);
  expect(controller.signal.aborted).toBe(false);
  clock.advance(1);
  expect(controller.signal.reason).toBe("too late");
});

it("aborts nothing any more once it is released, and leaves no timer", () => {
  const outer = new AbortController();
  const { clock, controller, limit } = cancellable(outer.signal);
  limit.release();
  expect(clock.pending).toBe(0);
  outer.abort("not wanted");
  expect(controller.signal.aborted).toBe(false);
});

import { expect, it, vi } from "vitest";
import { DialController } from "../../../shared/dial-signal.ts";

it("tells each listener once, and keeps the first reason", () => {
  const dial = new DialController();
  const [listener, other] = [vi.fn(() => dial.abort("again")), vi.fn()];
  dial.signal.addEventListener("abort", listener, { once: true });
  dial.signal.addEventListener("abort", other, { once: true });
  expect([dial.signal.aborted, dial.signal.reason]).toEqual([false, undefined]);
  dial.abort("not wanted");
  dial.abort("too late");
  expect([dial.signal.aborted, dial.signal.reason]).toEqual([true, "not wanted"]);
  expect([listener, other].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
});

it("tells nobody who was taken off, also by another listener, or who comes after the abort", () => {
  const dial = new DialController();
  const [removed, late] = [vi.fn(), vi.fn()];
  dial.addEventListener("abort", () => dial.removeEventListener("abort", removed));
  dial.addEventListener("abort", removed);
  dial.abort("not wanted");
  dial.addEventListener("abort", late);
  expect([removed, late].map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
});

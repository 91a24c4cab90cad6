import { expect, it } from "vitest";
import { Backoff } from "../../../../agent/links/backoff.ts";

const options = { baseMs: 1_000, capMs: 10_000 };

it("grows by half up to the cap, and begins anew after success", () => {
  const backoff = new Backoff({ random: () => 0 }, options);
  const waits = Array.from({ length: 9 }, () => backoff.next());
  expect(waits).toEqual([1_000, 1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000, 10_000]);
  expect(backoff.reset()).toBe(1_000);
  expect([backoff.next(), backoff.next()]).toEqual([1_000, 1_500]);
});

it("adds up to a tenth to each wait, without letting that grow", () => {
  const backoff = new Backoff({ random: () => 0.5 }, options);
  expect([backoff.next(), backoff.next(), backoff.reset()]).toEqual([1_050, 1_575, 1_050]);
});

it("scatters a wait around the base, from a tenth of it on, and begins anew", () => {
  const numbers = [0, 0, 0.5, 0];
  const backoff = new Backoff({ random: () => numbers.shift() ?? 0 }, options);
  backoff.next();
  expect([backoff.scatter(), backoff.scatter()]).toEqual([100, 1_000]);
  expect(backoff.next()).toBe(1_000);
});

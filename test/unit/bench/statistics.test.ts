import { describe, expect, test } from "vitest";
import { advantage, digits, spreadOf } from "../../bench/statistics.ts";

describe("spreadOf", () => {
  test("has the middle value of an odd number, whatever their order", () => {
    expect(spreadOf([30, 10, 20])).toEqual({ median: 20, min: 10, max: 30 });
  });

  test("has the mean of the middle two of an even number", () => {
    expect(spreadOf([4, 1, 2, 9])).toEqual({ median: 3, min: 1, max: 9 });
  });

  test("sorts by size and not by text", () => {
    expect(spreadOf([9, 10, 100]).median).toBe(10);
  });

  test("refuses no values", () => {
    expect(() => spreadOf([])).toThrow("needs a value");
  });
});

test("an advantage is above 1 where ours is better, whichever way a figure counts", () => {
  expect(advantage(200, 100, "more")).toBe(2);
  expect(advantage(5, 10, "less")).toBe(2);
  expect(advantage(1, 0, "more")).toBe(Number.POSITIVE_INFINITY);
});

test.each([
  [1234.4, "1230"],
  [0.012345, "0.0123"],
  [99.96, "100"],
  [0, "0"],
  [Number.POSITIVE_INFINITY, "∞"],
  [Number.NaN, "–"],
])("%s is shown as %s", (value, text) => {
  expect(digits(value)).toBe(text);
});

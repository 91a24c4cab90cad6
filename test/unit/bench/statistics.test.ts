import { describe, expect, test } from "vitest";
import { advantage, digits, relativeDeviation, repetitionSpread, spreadOf } from "../../bench/statistics.ts";
import { seededNumbers } from "../../support/seeded-numbers.ts";

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

describe("relativeDeviation", () => {
  test("is of shares of each list's own mean", () => {
    expect(relativeDeviation([[90, 110]])).toBeCloseTo(Math.SQRT2 * 0.1);
    expect(relativeDeviation([[90, 110], [9, 11], [7]])).toBeCloseTo(Math.SQRT2 * 0.1);
    expect(
      relativeDeviation([
        [5, 5, 5],
        [90, 110],
      ]),
    ).toBeCloseTo(Math.sqrt(0.02 / 3));
  });

  test("is none without a list of two", () => {
    expect(relativeDeviation([[7], []])).toBeUndefined();
  });
});

describe("repetitionSpread", () => {
  const repetitions = 2_000;
  const scale = 1_000_000;
  const numbers = seededNumbers(1);
  const uniform = () => (numbers(scale) + 0.5) / scale;
  const noise = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const rounds = (length: number) => Array.from({ length }, () => 1 + 0.1 * noise());
  // How many ratios there are of a kind, and of how many rounds, about as in the whole benchmark.
  const kinds = [
    { ratios: 16, rounds: 5 },
    { ratios: 11, rounds: 5 },
    { ratios: 3, rounds: 3 },
    { ratios: 2, rounds: 5 },
  ];

  const shareWithin = (spreadFor: (lists: readonly number[][], rounds: readonly number[]) => number) => {
    const all = Array.from({ length: repetitions }, () =>
      kinds.every((kind) => {
        const first = Array.from({ length: kind.ratios }, () => rounds(kind.rounds));
        return first.every((before) => {
          const difference = spreadOf(rounds(kind.rounds)).median - spreadOf(before).median;
          return Math.abs(difference) < spreadFor(first, before);
        });
      }),
    );
    return all.filter(Boolean).length / repetitions;
  };

  test("holds all ratios of a repetition in nineteen of twenty", () => {
    const spread = shareWithin((lists, { length }) => repetitionSpread(relativeDeviation(lists) ?? 0, length));
    expect(spread).toBeGreaterThan(0.95);
  });

  test("is needed: the smallest and largest of a ratio's own rounds hold them in two of five at best", () => {
    const ofItsRounds = shareWithin((_, before) => {
      const { min, max } = spreadOf(before);
      return max - min;
    });
    expect(ofItsRounds).toBeLessThan(0.4);
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

/** What several rounds came to. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/**
 * How many standard deviations a repetition's medians may be off: of three dozen ratios all stay within it in more than nineteen of twenty
 * repetitions, by a simulation in this file's test.
 */
const deviationsAllowed = 3.5;

/** The share of their means by which values of one kind differ: their standard deviation, with one mean for each of the lists. Undefined unless a list has two. */
export function relativeDeviation(lists: readonly (readonly number[])[]): number | undefined {
  const several = lists.filter(({ length }) => length > 1);
  const freedom = several.reduce((sum, { length }) => sum + length - 1, 0);
  if (freedom === 0) return undefined;
  const squares = several.flatMap((values) => {
    const mean = values.reduce((sum, value) => sum + value) / values.length;
    return values.map((value) => (value / mean - 1) ** 2);
  });
  return Math.sqrt(squares.reduce((sum, square) => sum + square) / freedom);
}

/** How far apart two medians of `count` values each may be where nothing but chance makes the difference, in the unit of `deviation`. */
export function repetitionSpread(deviation: number, count: number): number {
  // The variance of a median is about π / 2 times that of a mean, and there are two medians.
  return deviationsAllowed * deviation * Math.sqrt(Math.PI / count);
}

export type Better = "more" | "less";

/** Of one value at least. An even number of values has the mean of the middle two as median. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number): number => {
    const value = sorted[index];
    if (value === undefined) throw new Error("a spread needs a value");
    return value;
  };
  const middle = (sorted.length - 1) / 2;
  return { median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2, min: at(0), max: at(sorted.length - 1) };
}

/** How many times as good ours is as theirs: above 1 it is better, whichever way the figure counts. */
export function advantage(ours: number, theirs: number, better: Better): number {
  return better === "more" ? ours / theirs : theirs / ours;
}

/** With three significant digits, never in powers of ten. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : "∞";
  return String(Number(value.toPrecision(3)));
}

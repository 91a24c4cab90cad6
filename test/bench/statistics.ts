/** What several rounds came to. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
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

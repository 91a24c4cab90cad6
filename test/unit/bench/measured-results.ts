import { type Sample, type ScenarioResult, type WayResult, wayResult } from "../../bench/results.ts";

/** A way's result from the rounds that are given; of a round that failed its text. */
export function resultOf(rounds: readonly (Sample | string)[]): WayResult {
  const result = wayResult(rounds);
  if (result === undefined) throw new Error("no round has a sample");
  return result;
}

/** A scenario whose ways have these figures, round by round. */
export function scenarioResult(
  about: Partial<ScenarioResult>,
  figures: Readonly<Record<string, readonly number[]>>,
): ScenarioResult {
  return {
    name: "bulk down on 1",
    group: "bulk",
    unit: "MB/s",
    better: "more",
    ...about,
    ways: Object.fromEntries(
      Object.entries(figures).map(([way, values]) => [way, resultOf(values.map((figure) => ({ figure })))]),
    ),
  };
}

import { describe, expect, test } from "vitest";
import { verdicts } from "../../bench/gate.ts";
import { scenarioResult } from "./measured-results.ts";

const both = (ours: readonly number[], theirs: readonly number[]) => ({
  "reference, gRPC": theirs,
  "Hawser, gRPC": ours,
  "reference, CONNECT": [1],
  "Hawser, CONNECT": [1],
});
const published = [scenarioResult({}, both([200], [100]))];
const ofGrpc = (ours: readonly number[], theirs: readonly number[]) =>
  verdicts([scenarioResult({}, both(ours, theirs))], published).find(({ line }) => line.includes("gRPC"));

describe("the gate", () => {
  test("takes the best round, each against the reference of the same round", () => {
    // 1.0, 1.4 and 0.5, of which 1.4 is just enough for a published 2.
    expect(ofGrpc([100, 140, 50], [100, 100, 100])).toMatchObject({ passed: true });
    // The best of ours and the worst of theirs are of different rounds.
    expect(ofGrpc([140, 50], [101, 10_000])).toMatchObject({ passed: false });
  });

  test("counts one verdict for each frontend", () => {
    expect(verdicts(published, published).map(({ passed }) => passed)).toEqual([true, true]);
  });

  test("fails what was never published, and what has no round", () => {
    const measured = scenarioResult({}, both([100], [100]));
    expect(verdicts([measured], []).map(({ passed }) => passed)).toEqual([false, false]);
    expect(verdicts([scenarioResult({}, {})], published).map(({ passed }) => passed)).toEqual([false, false]);
  });

  test("takes no round in which the reference did nothing for a win", () => {
    expect(ofGrpc([1, 1, 1], [0, 100, 100])).toMatchObject({ passed: false });
  });

  test("fails where Hawser's rounds go wrong, however fast the good one is, and says what went wrong", () => {
    const scenario = scenarioResult({}, both([200, 200, 200], [100, 100, 100]));
    const withFailures = (failures: readonly string[]) => {
      const ours = scenario.ways["Hawser, gRPC"];
      if (ours === undefined) throw new Error("no such way");
      const measured = { ...scenario, ways: { ...scenario.ways, "Hawser, gRPC": { ...ours, failures } } };
      return verdicts([measured], published)[0];
    };
    expect(withFailures(["failed: lost"])).toMatchObject({
      passed: true,
      line: expect.stringMatching(/; failed: lost$/),
    });
    expect(withFailures(["failed: lost", "3 dials failed"])).toMatchObject({ passed: false });
  });

  test("counts the other way where less is better", () => {
    const quicker = [scenarioResult({ better: "less" }, both([5], [10]))];
    const now = (ours: number) =>
      verdicts([scenarioResult({ better: "less" }, both([ours], [10]))], quicker)[0]?.passed;
    expect(now(7)).toBe(true);
    expect(now(8)).toBe(false);
  });
});

import { describe, expect, test } from "vitest";
import { comparisons, cpuRatioOf, ratioOf, type Sample, wayResult } from "../../bench/results.ts";
import { resultOf, scenarioResult } from "./measured-results.ts";

const [grpc] = comparisons;
if (grpc === undefined) throw new Error("there is no comparison");

const sample = (figure: number): Sample => ({
  figure,
  latencies: { echo: { p50: figure / 10, p99: figure, max: 2 * figure } },
  cpu: { server: figure / 100, agent: figure / 50 },
  memory: { server: { after: figure, peak: figure + 1 }, agent: { after: figure, peak: figure + 2 } },
});

describe("the result of a way", () => {
  const result = resultOf([
    sample(10),
    "failed: it broke",
    sample(30),
    { ...sample(20), failures: ["2 dials failed"] },
  ]);

  test("has the spread of the rounds that have a figure, and all of them in order", () => {
    expect(result.figure).toEqual({ median: 20, min: 10, max: 30 });
    expect(result.rounds).toEqual([10, null, 30, 20]);
  });

  test("has latencies, CPU and memory, of the peaks the highest", () => {
    expect(result.latencies.echo?.p99).toEqual({ median: 20, min: 10, max: 30 });
    expect(result.latencies).not.toHaveProperty("dial");
    expect(result.cpu?.agent.median).toBe(0.4);
    expect(result.memory).toEqual({ server: { after: 20, peak: 31 }, agent: { after: 20, peak: 32 } });
  });

  test("has what went wrong, in rounds with a figure and without", () => {
    expect(result.failures).toEqual(["failed: it broke", "2 dials failed"]);
  });

  test("is not there if no round has a figure", () => {
    expect(wayResult(["failed", "failed"])).toBeUndefined();
  });
});

describe("ratios", () => {
  test("are medians of the rounds' own, and above 1 where Hawser is better", () => {
    const figures = { "reference, gRPC": [10, 20, 90], "Hawser, gRPC": [40, 30, 35] };
    expect(ratioOf(scenarioResult({ better: "more" }, figures), grpc)).toBe(30 / 20);
    expect(ratioOf(scenarioResult({ better: "less" }, figures), grpc)).toBe(20 / 30);
  });

  test("are missing where one side is", () => {
    expect(ratioOf(scenarioResult({}, { "Hawser, gRPC": [1] }), grpc)).toBeUndefined();
    expect(cpuRatioOf(scenarioResult({}, { "Hawser, gRPC": [1], "reference, gRPC": [1] }), grpc)).toBeUndefined();
  });

  test("of CPU time are of both halves together", () => {
    const ways = { "reference, gRPC": resultOf([sample(20)]), "Hawser, gRPC": resultOf([sample(10)]) };
    expect(cpuRatioOf({ ...scenarioResult({}, {}), ways }, grpc)).toBeCloseTo(0.5);
  });

  test("of CPU time are of one round each, and leave out a round that failed", () => {
    const ways = {
      "reference, gRPC": resultOf([sample(10), sample(40), "failed"]),
      "Hawser, gRPC": resultOf([sample(5), sample(20), sample(90)]),
    };
    expect(cpuRatioOf({ ...scenarioResult({}, {}), ways }, grpc)).toBeCloseTo(0.5);
  });
});

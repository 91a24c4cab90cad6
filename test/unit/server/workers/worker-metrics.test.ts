import { beforeEach, expect, it } from "vitest";
import { JoinedMetrics } from "../../../../server/workers/worker-metrics.ts";
import type { MetricsPage } from "../../../../shared/metrics/page.ts";

let joined: JoinedMetrics;
beforeEach(() => {
  joined = new JoinedMetrics({ workers: 2 });
});

const family = (type: string, name: string, value: number) => ({
  name,
  help: "",
  type,
  values: [{ labels: {}, value }],
});
const page = (value: number): MetricsPage => [
  family("counter", "bytes_total", value),
  family("gauge", "open", value),
  family("counter", "process_cpu_seconds_total", value),
];
const own: MetricsPage = [family("counter", "process_cpu_seconds_total", 1)];

function values(...answered: readonly number[]) {
  const sample = (name: string) => {
    const found = joined.page(own, new Set(answered)).find((candidate) => candidate.name === name);
    return found?.values.map(({ labels, value }) => [...Object.values(labels), value]);
  };
  return { bytes: sample("bytes_total"), open: sample("open"), cpu: sample("process_cpu_seconds_total") };
}

it("adds up what the workers answer, and shows each process on its own", () => {
  joined.answered(1, page(10));
  joined.answered(2, page(20));
  expect(values(1, 2)).toEqual({
    bytes: [[30]],
    open: [[30]],
    cpu: [
      ["primary", 1],
      ["1", 10],
      ["2", 20],
    ],
  });
});

it("keeps what a worker that does not answer had counted, and nothing else of it", () => {
  joined.answered(1, page(10));
  joined.answered(2, page(20));
  expect(values(2)).toMatchObject({ bytes: [[30]], open: [[20]] });
  expect(values(2).cpu?.map(([worker]) => worker)).toEqual(["primary", "2"]);
});

it("says that the least is nothing where a worker is missing", () => {
  const withLeast = (value: number) => [{ ...family("gauge", "least", value), aggregator: "min" }];
  const least = (...answered: readonly number[]) => joined.page([], new Set(answered))[0]?.values[0]?.value;
  joined.answered(1, withLeast(3));
  expect(least(1)).toBe(0);
  joined.answered(2, withLeast(2));
  expect(least(1, 2)).toBe(2);
  expect(least(2)).toBe(0);
});

it("keeps what workers had counted that died, each once", () => {
  joined.answered(1, page(10));
  joined.died(1);
  joined.answered(1, page(5));
  joined.died(1);
  joined.died(1);
  joined.answered(1, page(1));
  expect(values(1)).toMatchObject({ bytes: [[16]], open: [[1]] });
  expect(values(1).cpu).toHaveLength(2);
});

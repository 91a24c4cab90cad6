import { expect, test } from "vitest";
import { aims, aimsTable } from "../../bench/aims.ts";
import { scenarios } from "../../bench/scenarios.ts";
import { resultOf, scenarioResult } from "./measured-results.ts";

const rows = (...scenarios: Parameters<typeof aimsTable>[0][]) => aimsTable(scenarios.flat()).rows;

test("an aim that some scenarios meet says how many, and names the worst", () => {
  const down = scenarioResult({}, { "reference, gRPC": [100], "Hawser, gRPC": [150] });
  const onMore = scenarioResult({ name: "bulk down on 16" }, { "reference, gRPC": [100], "Hawser, gRPC": [210] });
  expect(rows([down, onMore])).toEqual([
    ["bulk down, on 1 and 16: ratio", "at least 2", "1.5 (bulk down on 1, gRPC)", "2.1", "in 1 of 2"],
  ]);
});

test("of CPU time the most is the worst, and over the bound is not met", () => {
  const cpu = (server: number) => resultOf([{ figure: 1, cpu: { server, agent: 1 } }]);
  const dials = {
    ...scenarioResult({ name: "dial + echo + close, 1 at once", group: "dials" }, {}),
    ways: {
      "reference, gRPC": cpu(1),
      "Hawser, gRPC": cpu(2),
      "reference, CONNECT": cpu(3),
      "Hawser, CONNECT": cpu(2),
    },
  };
  expect(rows([dials])).toContainEqual([
    "dials, 1 and 32 at once: share of CPU",
    "at most 0.8",
    "1.5 (dial + echo + close, 1 at once, gRPC)",
    "0.75",
    "in 1 of 2",
  ]);
});

test("what stalled readers cost is measured on the same way without them", () => {
  const beside = (count: number, figures: Record<string, number[]>) =>
    scenarioResult({ name: `dials and echoes beside ${count} stalled readers`, unit: "dials/s" }, figures);
  const table = rows([beside(0, { "Hawser, gRPC": [400] }), beside(100, { "Hawser, gRPC": [380] })]);
  expect(table.map((row) => row.slice(2))).toEqual([
    ["0.95 (dials and echoes beside 100 stalled readers, gRPC)", "0.95", "yes"],
  ]);
});

test("each aim is about scenarios and ways that there are", () => {
  const measured = scenarios.map(({ ways, measure: _measure, ...heading }) => ({
    ...scenarioResult(heading, {}),
    ways: Object.fromEntries(
      ways.map(({ name }) => [name, resultOf([{ figure: 1, cpu: { server: 1, agent: 1 } }])] as const),
    ),
  }));
  expect(rows(measured).map(([what]) => what)).toEqual(aims.map(({ what }) => what));
});

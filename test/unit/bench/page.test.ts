import { describe, expect, test } from "vitest";
import { performancePage } from "../../bench/page.ts";
import { plotsOf } from "../../bench/plots.ts";
import type { Results } from "../../bench/results.ts";
import { screenTable } from "../../bench/tables.ts";
import { timePage } from "../../bench/time-page.ts";
import { resultOf, scenarioResult } from "./measured-results.ts";

const measured = (figure: number) =>
  resultOf([
    {
      figure,
      latencies: { echo: { p50: 0.1, p99: figure / 100, max: figure } },
      cpu: { server: figure / 100, agent: 1 },
      memory: { server: { after: 80.4, peak: 91.6 }, agent: { after: 70, peak: 70 } },
    },
  ]);
const results: Results = {
  about: {
    commit: "0123abc",
    date: "2026-01-02",
    rounds: 5,
    secondsEach: 3,
    minutes: 37.5,
    versions: { hawser: "0.1.0", reference: "v0.36.0", node: "v20.20.2", go: "go1.25" },
    machine: { cores: 2, model: "a processor", kernel: "6.18", memoryGiB: 24 },
  },
  scenarios: [
    scenarioResult({}, { "direct TCP": [1000], "reference, gRPC": [90, 110, 100], "Hawser, gRPC": [250, 240, 260] }),
    {
      ...scenarioResult({ name: "200 B echo on 1", group: "echo", unit: "/s", work: "1,000 echoes" }, {}),
      ways: { "reference, CONNECT": measured(100), "Hawser, CONNECT": measured(200) },
    },
    {
      ...scenarioResult({ name: "dials beside stalled", group: "mixed load", unit: "dials/s" }, {}),
      ways: {
        "reference, gRPC": resultOf([{ figure: 0 }, "failed: no answer"]),
        "Hawser, gRPC": resultOf([{ figure: 9, bulkBeside: 123 }]),
      },
    },
  ],
};
const page = performancePage(results, plotsOf(results));

describe("the page", () => {
  test("says where and from what its figures come", () => {
    expect(page).toContain("at commit 0123abc on 2026-01-02");
    for (const fact of ["2 cores (a processor)", "Linux 6.18", "Node v20.20.2", "5 rounds"])
      expect(page).toContain(fact);
  });

  test("has medians with their spread, and a ratio behind each pair", () => {
    expect(page).toContain("| bulk down on 1, MB/s | 1000 | 100 (90 to 110) | 250 (240 to 260) | 2.6 |");
  });

  test("has the bulk that went on beside a figure", () => {
    expect(page).toContain("| dials beside stalled | 123 |");
  });

  test("has latencies, CPU time and memory of what was measured with them", () => {
    expect(page).toContain("| 200 B echo on 1: echo | 0.1 / 1 / 100 | 0.1 / 2 / 200 |");
    expect(page).toContain("| 200 B echo on 1, per 1,000 echoes | 1 + 1 = 2 | 2 + 1 = 3 | 1.5 |");
    expect(page).toContain("| 200 B echo on 1 | 80 (92) + 70 (70) | 80 (92) + 70 (70) |");
  });

  test("has pairs of one half of each in a table of their own", () => {
    const figures = { "reference, gRPC": [1], "Hawser, gRPC": [2], "Hawser server + reference agent, gRPC": [3] };
    const text = performancePage({ ...results, scenarios: [scenarioResult({}, figures)] }, []);
    const rows = text.split("\n").filter((line) => line.startsWith("| bulk down on 1, MB/s"));
    expect(rows).toEqual(["| bulk down on 1, MB/s | 1 | 2 | 2 |", "| bulk down on 1, MB/s | 1 | 2 | 2 | 3 |"]);
  });

  test("holds what was reached against the aims", () => {
    expect(page).toContain("| bulk down, on 1 and 16: ratio | at least 2 | 2.6 (bulk down on 1, gRPC) | 2.6 | yes |");
    expect(page).toContain("| echo on 1 and 64: ratio | at least 1.5 | 2 (200 B echo on 1, CONNECT) | 2 | yes |");
    expect(page).not.toContain("bulk up, on 1 and 16");
  });

  test("tells of a reference that stops, and of what failed", () => {
    expect(page).toContain("| dials beside stalled, dials/s | 0 | 9 | ∞ |");
    expect(page).toContain("- dials beside stalled, reference, gRPC: failed: no answer");
  });

  test("holds a second run against what the rounds of the first differ by", () => {
    const run = (ours: readonly number[]) => ({
      ...results,
      scenarios: [scenarioResult({}, { "reference, gRPC": ours.map(() => 100), "Hawser, gRPC": ours })],
    });
    const first = run([240, 250, 260]);
    const like = { ...run([290]), about: { ...results.about, commit: "4567def" } };
    const withLike = performancePage({ ...first, again: like }, []);
    // 3.5 times a twenty-fifth, times the root of π by 3.
    expect(withLike).toContain("| bulk down on 1, gRPC | 2.5 (2.4 to 2.6) | 2.9 | 0.4 | 0.358 | no |");
    expect(withLike).toContain("at commit 4567def on 2026-01-02, 5 rounds (`npm run bench -- --again`).");
    expect(withLike).toContain("4 % (MB/s)");
    expect(withLike).toContain("0 of 1 differ by less than that.");
    expect(performancePage({ ...first, again: run([215]) }, [])).toContain("| 2.15 | 0.35 | 0.358 | yes |");
  });

  test("is the same from the file that the figures were kept in", () => {
    const kept = JSON.parse(JSON.stringify(results)) as Results;
    expect(performancePage(kept, plotsOf(kept))).toBe(page);
  });
});

test("there is a plot for each group and unit and for CPU time, which the page shows", () => {
  const plots = plotsOf(results);
  expect(plots.map(({ file }) => file)).toEqual([
    "bulk-mb-s.svg",
    "echo-s.svg",
    "echo-cpu.svg",
    "mixed-load-dials-s.svg",
  ]);
  for (const { file, svg } of plots) {
    expect(svg).toMatch(/^<svg[^>]*>/);
    expect(page).toContain(`(performance/${file})`);
  }
  expect(plots[0]?.svg).toContain("bulk down on 1");
  expect(plots[0]?.svg).not.toContain("direct TCP");
});

test("a table on the screen has straight columns", () => {
  expect(
    screenTable(
      ["", "ours"],
      [
        ["down", "1"],
        ["up", "1000"],
      ],
    ),
  ).toBe("      ours\ndown     1\nup    1000");
});

test("the page of profiles has for each half what it cost, and what that was spent on", () => {
  const scenario = "200 B echo on 1";
  const way = "Hawser, CONNECT";
  const text = timePage(results, [
    { scenario, way, half: "server", times: [{ name: "(program)", place: "", share: 1 }] },
    {
      scenario,
      way,
      half: "agent",
      times: [{ name: "send", place: "dist/shared/grpc/message-stream.js:74", share: 1 }],
    },
  ]);
  expect(text).toContain("| CPU ms per 1,000 echoes | 2000 | 1000 |");
  expect(text).toContain("| native code, called by the event loop | 100 % | 0 % |");
  expect(text).toContain("| Hawser: gRPC on HTTP/2 | 0 % | 100 % |");
  expect(text).not.toContain("bulk down on 1");
});

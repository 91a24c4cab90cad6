import { describe, expect, test } from "vitest";
import { bytesText, durationText, rateText, Screen } from "../../../../cli/demo/screen.ts";

function screen(
  terminal: { readonly isTTY?: boolean; readonly columns?: number } = {},
  env: { NO_COLOR?: string } = {},
) {
  const time = { now: 0 };
  const written: string[] = [];
  const shown = new Screen({ ...terminal, write: (text: string) => written.push(text) }, env, () => time.now);
  return { shown, written, time };
}

const progress = { doneBytes: 50, totalBytes: 100, elapsedMs: 1_000 };

describe("lines", () => {
  test("figures end in one column, and nothing is longer than 80", () => {
    const { shown, written } = screen();
    shown.passed("by gRPC", "200", "3 ms");
    shown.passed("HTTP CONNECT, down", "SHA-256 of both ends", "1234 MB/s");
    expect(written.map((line) => line.length)).toEqual([81, 81]);
  });

  test("a result that is too long keeps two spaces from its figure", () => {
    const { shown, written } = screen();
    shown.passed("label", "r".repeat(70), "3 ms");
    expect(written[0]).toMatch(/r {2}3 ms\n$/);
  });

  test("a failure shows what was expected and what came, one below the other", () => {
    const { shown, written } = screen();
    shown.failed("by gRPC", "200", "503");
    expect(written.join("")).toBe("  FAIL  by gRPC\n        expected  200\n        came      503\n");
  });
});

describe("colour", () => {
  const coloured = /\u001b\[/;

  test.each([
    ["a terminal", { isTTY: true }, {}, true],
    ["a terminal with NO_COLOR", { isTTY: true }, { NO_COLOR: "1" }, false],
    ["a terminal with NO_COLOR empty", { isTTY: true }, { NO_COLOR: "" }, true],
    ["a file", {}, {}, false],
  ])("%s", (_what, terminal, env, expected) => {
    const { shown, written } = screen(terminal, env);
    shown.heading("Heading");
    shown.passed("label", "result", "figure", "detail");
    shown.failed("label", "expected", "came");
    expect(coloured.test(written.join(""))).toBe(expected);
  });
});

describe("progress", () => {
  test("is not shown without a terminal", () => {
    const { shown, written } = screen();
    shown.progress("down", progress);
    expect(written).toEqual([]);
  });

  test("is written over, and gone before the next line", () => {
    const { shown, written } = screen({ isTTY: true }, { NO_COLOR: "1" });
    shown.progress("down", progress);
    shown.line("next");
    expect(written[0]).toMatch(/^\r\u001b\[K +down +█{10}░{10} +50 % +\S+ MB\/s$/);
    expect(written.slice(1)).toEqual(["\r\u001b[K", "next\n"]);
  });

  test("is drawn ten times a second at most", () => {
    const { shown, written, time } = screen({ isTTY: true });
    for (time.now = 0; time.now < 1_000; time.now += 10) shown.progress("down", progress);
    expect(written).toHaveLength(10);
  });

  test.each([
    ["a narrow terminal", 30, 29],
    ["one that does not know its width", 0, "        down                ██████████░░░░░░░░░░  50 %   0.0 MB/s".length],
  ])("does not wrap on %s", (_what, columns, length) => {
    const { shown, written } = screen({ isTTY: true, columns });
    shown.progress("down", progress);
    expect(written[0]?.replace("\r\u001b[K", "")).toHaveLength(length);
  });
});

test.each([
  [rateText(5_000_000, 1_000), "5.0 MB/s"],
  [rateText(250_000_000, 500), "500 MB/s"],
  [rateText(1, 0), "0.0 MB/s"],
  [bytesText(256 * 1024 * 1024), "256 MiB"],
  [bytesText(1.25 * 1024 * 1024), "1.3 MiB"],
  [durationText(999.4), "999 ms"],
  [durationText(1_940), "1.9 s"],
])("%s", (text, expected) => {
  expect(text).toBe(expected);
});

import type { Reporter, TestCase, TestModule } from "vitest/node";

const marks = { passed: "ok", failed: "FAILED", skipped: "skipped", pending: "did not run" } as const;

/** Prints the table of checks at the end of a run: a row for each, and how it ended in each cluster. */
// biome-ignore lint/style/noDefaultExport: vitest takes the default export of a reporter's file
export default class ChecksReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = new Map<string, Map<string, string>>();
    const columns = new Set<string>();
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const [cluster = "", ...check] = test.fullName.split(" > ");
        columns.add(cluster);
        const name = check.join(", ");
        const row = rows.get(name) ?? new Map<string, string>();
        rows.set(name, row.set(cluster, describeResult(test)));
      }
    }
    const lines = [...rows].map(([name, row]) => [name, ...[...columns].map((column) => row.get(column) ?? "")]);
    const table = [["check", ...columns], ...lines].map((cells) => cells.join(" | ")).join("\n");
    process.stdout.write(`\nThe checks\n${table}\n`);
  }
}

function describeResult(test: TestCase): string {
  const seconds = ((test.diagnostic()?.duration ?? 0) / 1_000).toFixed(1);
  const { state } = test.result();
  return state === "passed" ? `${marks.passed}, ${seconds} s` : marks[state];
}

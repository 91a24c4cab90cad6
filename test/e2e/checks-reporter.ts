import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import { commitBut } from "../support/commit.ts";
import { repositoryRoot } from "../support/repository-root.ts";

const page = "docs/e2e.md";
const marks = { passed: "ok", failed: "FAILED", skipped: "skipped", pending: "did not run" } as const;

/** Prints the table of checks at the end of a run: a row for each, and how it ended in each cluster. HAWSER_E2E_SECTION names the section of docs/e2e.md that it takes the place of. */
// biome-ignore lint/style/noDefaultExport: vitest takes the default export of a reporter's file
export default class ChecksReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = tableOf(modules);
    process.stdout.write(`\nThe checks\n${rows.map((cells) => cells.join(" | ")).join("\n")}\n`);
    const { HAWSER_E2E_SECTION: section } = process.env;
    if (section === undefined) return;
    const seconds = Math.round(modules.reduce((sum, module) => sum + module.diagnostic().duration, 0) / 1_000);
    const [heading = [], ...rest] = rows;
    const lines = [heading, heading.map(() => "---"), ...rest].map((cells) => `| ${cells.join(" | ")} |`);
    writeSection(section, `${describeRun(seconds)}\n\n${lines.join("\n")}\n`);
  }
}

function tableOf(modules: readonly TestModule[]): readonly (readonly string[])[] {
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
  return [["check", ...columns], ...lines];
}

function describeResult(test: TestCase): string {
  const seconds = ((test.diagnostic()?.duration ?? 0) / 1_000).toFixed(1);
  const { state } = test.result();
  return state === "passed" ? `${marks.passed}, ${seconds} s` : marks[state];
}

function describeRun(seconds: number): string {
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), Linux ${release()}, Node ${process.version}`;
  return `${new Date().toISOString().slice(0, 10)}, commit ${commitBut(page)}, ${seconds} s on ${machine}.`;
}

/** Puts this text under the heading of that name, which is there. */
function writeSection(name: string, text: string): void {
  const path = join(repositoryRoot, page);
  const parts = (existsSync(path) ? readFileSync(path, "utf8") : "").split(/^(?=## )/m);
  const at = parts.findIndex((part) => part.startsWith(`## ${name}\n`));
  if (at === -1) throw new Error(`${page} has no section "## ${name}"`);
  // What a person has written there ends with the line before the first result.
  const [words = ""] = (parts[at] ?? "").split(/^\d{4}-\d\d-\d\d, commit /m);
  parts[at] = `${words.trimEnd()}\n\n${text}\n`;
  writeFileSync(path, `${parts.join("").trimEnd()}\n`);
}

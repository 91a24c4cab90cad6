import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join, relative } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import { commitBut } from "../support/commit.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { titleOfRounds } from "../support/rounds.ts";

const path = join(repositoryRoot, "docs", "soak.md");
const intro = `# Long tests: the last results

Written by \`npm run test:soak\`; each section is the last whole run of one test file. A test that is repeated has one row. Figures are
medians over its rounds, with the smallest and the largest behind them where they differ. CI runs the same tests in a short form.
`;

/** Writes what a run of the long tests came to into docs/soak.md. Files that it ran in part keep their section. */
// biome-ignore lint/style/noDefaultExport: vitest takes the default export of a reporter's file
export default class PageReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const whole = modules.filter((module) => [...module.children.allTests()].every(hasRun));
    const sections = new Map([
      ...sectionsOfPage(),
      ...whole.map((module) => [nameOf(module), section(module)] as const),
    ]);
    const sorted = [...sections].sort(([a], [b]) => a.localeCompare(b)).map(([, text]) => text);
    writeFileSync(path, [intro, ...sorted].join("\n"));
    for (const module of modules) {
      const what = whole.includes(module)
        ? "its section of docs/soak.md is new"
        : "docs/soak.md keeps its last whole run";
      process.stdout.write(`${nameOf(module)}: ${what}\n`);
    }
  }
}

const hasRun = (test: TestCase) => ["passed", "failed"].includes(test.result().state);
const nameOf = (module: TestModule) => relative(repositoryRoot, module.moduleId);

/** What the page holds now, by the name in each heading. */
function sectionsOfPage(): [string, string][] {
  if (!existsSync(path)) return [];
  const [, ...sections] = readFileSync(path, "utf8").split(/^(?=## )/m);
  return sections.map((text) => [/^## (.*)$/m.exec(text)?.[1] ?? "", `${text.trimEnd()}\n`]);
}

function section(module: TestModule): string {
  const rows = new Map<string, TestCase[]>();
  for (const test of module.children.allTests()) {
    const title = titleOfRounds(test.fullName);
    rows.set(title, [...(rows.get(title) ?? []), test]);
  }
  const table = [...rows].map(([title, tests]) => {
    const passed = tests.filter((test) => test.result().state === "passed").length;
    return `| ${title} | ${passed} of ${tests.length} | ${figuresOf(tests)} |`;
  });
  const { durationMs, at } = { durationMs: module.diagnostic().duration, at: new Date().toISOString().slice(0, 10) };
  const length =
    durationMs < 120_000 ? `${Math.round(durationMs / 1_000)} s` : `${Math.round(durationMs / 60_000)} minutes`;
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), Linux ${release()}, Node ${process.version}`;
  return `## ${nameOf(module)}

${at}, commit ${commitBut("docs/soak.md")}, ${length} on ${machine}.

| test | passed | figures |
| --- | --- | --- |
${table.join("\n")}
`;
}

function figuresOf(tests: readonly TestCase[]): string {
  const byName = new Map<string, number[]>();
  for (const test of tests) {
    for (const [what, value] of Object.entries(test.meta().figures ?? {})) {
      byName.set(what, [...(byName.get(what) ?? []), value]);
    }
  }
  return [...byName].map(([what, values]) => `${what}: ${spread(values)}`).join("; ");
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const [least, median, most] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return least === most ? `${median}` : `${median} (${least} to ${most})`;
}

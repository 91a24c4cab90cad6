import type { Reporter, TestModule } from "vitest/node";
import { everyPairing, nameOf } from "./cells.ts";
import { differencesOf } from "./differences.ts";

interface Row {
  passed: number;
  failed: number;
  skipped: number;
}

/** Prints the matrix at the end of a run: each cell, how its tests ended, and what is known to differ in it and why. */
// biome-ignore lint/style/noDefaultExport: vitest takes the default export of a reporter's file
export default class MatrixReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = new Map<string, Row>(everyPairing.map((pairing) => [nameOf(pairing), emptyRow()]));
    for (const module of modules) {
      for (const suite of module.children.suites()) {
        const row = rows.get(suite.name.replace(/^curl, /, ""));
        if (row === undefined) continue;
        for (const test of suite.children.allTests()) {
          const { state } = test.result();
          row[state === "pending" ? "skipped" : state] += 1;
        }
      }
    }
    const pairings = new Map(everyPairing.map((pairing) => [nameOf(pairing), pairing]));
    const lines = [...pairings].map(([name, pairing]) => {
      const { passed, failed, skipped } = rows.get(name) ?? emptyRow();
      const ran = passed + failed > 0;
      const counts = ran ? `${passed} passed, ${failed} failed, ${skipped} skipped` : "did not run";
      return [name, counts, Object.values(differencesOf(pairing)).join("; ")].join(" | ");
    });
    const heading = "cell | tests | known differences of the reference";
    process.stdout.write(`\nThe matrix\n${[heading, ...lines].join("\n")}\n`);
  }
}

const emptyRow = (): Row => ({ passed: 0, failed: 0, skipped: 0 });

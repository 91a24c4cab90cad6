import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../support/repository-root.ts";
import { performancePage } from "./page.ts";
import { plotsOf } from "./plots.ts";
import type { HalfProfile } from "./profiles.ts";
import type { Results } from "./results.ts";
import { timePage } from "./time-page.ts";

const docs = join(repositoryRoot, "docs");
const file = join(docs, "performance.json");

/** Throws with what to do where nothing was published yet. */
export function readPublished(): Results {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Results;
  } catch (error) {
    throw new Error("docs/performance.json cannot be read: `npm run bench` writes it", { cause: error });
  }
}

export function publish(results: Results): void {
  writeFileSync(file, `${JSON.stringify(results, undefined, 1)}\n`);
  writePages(results);
}

export function publishProfiles(results: Results, profiles: readonly HalfProfile[]): void {
  writeFileSync(join(docs, "performance-profiles.md"), timePage(results, profiles));
}

/** The page and its plots, in place of those that are there. */
export function writePages(results: Results): void {
  const folder = join(docs, "performance");
  const plots = plotsOf(results);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const { file, svg } of plots) writeFileSync(join(folder, file), svg);
  writeFileSync(join(docs, "performance.md"), performancePage(results, plots));
}

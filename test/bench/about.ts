import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { repositoryRoot } from "../support/repository-root.ts";
import type { About } from "./results.ts";
import { referenceVersion } from "./ways.ts";

/** This machine, and what is measured on it. */
export function machineFacts(): Pick<About, "commit" | "date" | "versions" | "machine"> {
  const { version } = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as { version: string };
  const [first] = cpus();
  return {
    commit: commitOf(),
    date: new Date().toISOString().slice(0, 10),
    versions: {
      hawser: version,
      reference: referenceVersion,
      node: process.version,
      go: output("go", "env", "GOVERSION"),
    },
    machine: {
      cores: cpus().length,
      model: first?.model.trim() ?? "unknown",
      kernel: release(),
      memoryGiB: Math.round(totalmem() / 1024 ** 3),
    },
  };
}

/** With a plus behind it where sources differ from it. */
function commitOf(): string {
  const changed = output("git", "status", "--porcelain", "--untracked-files=no", "--", ":!docs");
  return `${output("git", "rev-parse", "--short", "HEAD")}${changed === "" ? "" : "+"}`;
}

function output(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, { cwd: repositoryRoot, encoding: "utf8" }).trim();
}

// Runs the interop tests from a built tree: `node test/interop/run.mjs [vitest arguments]`. Where no Go can build their
// Go parts it says so in one line and exits with 77, which means skipped, never passed.
import { spawn } from "node:child_process";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { BaseSequencer, parseCLI, startVitest } from "vitest/node";
import { requireGo } from "../../dist/test/support/go.js";

const modules = ["test/interop/konnectivity-client-v0.36.0", "test/interop/reference-v0.36.0"];
try {
  for (const module of modules) await requireGo(module);
} catch (error) {
  if (error.code !== "go_missing") throw error;
  process.stderr.write(`SKIPPED: the interop tests did not run: ${error.message}\n`);
  process.exit(77);
}

// What is mostly waiting comes first, while programs for what follows are built; what measures comes when all are built.
const order = [
  "matrix",
  "metrics",
  "flags",
  "curl",
  "fallback",
  "apiserver",
  "reusable",
  "kubernetes-tokens",
  "kubernetes-leases",
  "deploy",
  "hawser",
  "mixed",
  "reference",
];
class InOrder extends BaseSequencer {
  sort(files) {
    const place = ({ moduleId }) => order.indexOf(basename(moduleId, ".test.ts"));
    return [...files].sort((a, b) => place(a) - place(b));
  }
}

const given = process.argv.slice(2);
const reporters = given.some((arg) => arg.startsWith("--reporter")) ? [] : ["--reporter=default"];
const matrix = "--reporter=./test/interop/matrix-reporter.ts";
// One file at a time: each of them keeps both ends of a tunnel busy.
const args = ["vitest", "run", "--project", "interop", "--no-file-parallelism", ...reporters, matrix, ...given];
const { filter, options } = parseCLI(args);

const isWhole = filter.length === 0 && !process.env.HAWSER_INTEROP_ONLY;
const buildAhead = fileURLToPath(import.meta.resolve("../../dist/test/interop/build-ahead.js"));
const asGroup = { detached: true, stdio: ["pipe", "ignore", "inherit"] };
const builder = isWhole ? spawn(process.execPath, [buildAhead], asGroup) : undefined;
// It may be done before it is told to end.
builder?.stdin.on("error", () => {});
const vitest = await startVitest("test", filter, { ...options, sequence: { sequencer: InOrder } });
await vitest.close();
builder?.stdin.end();

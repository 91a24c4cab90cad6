// Runs the interop tests from a built tree: `node test/interop/run.mjs [vitest arguments]`. Where no Go can build their
// Go parts it says so in one line and exits with 77, which means skipped, never passed.
import { spawn } from "node:child_process";
import { requireGo } from "../../dist/test/support/go.js";

const modules = ["test/interop/konnectivity-client-v0.36.0", "test/interop/reference-v0.36.0"];
try {
  for (const module of modules) await requireGo(module);
} catch (error) {
  if (error.code !== "go_missing") throw error;
  process.stderr.write(`SKIPPED: the interop tests did not run: ${error.message}\n`);
  process.exit(77);
}
// One file at a time: each of them keeps both ends of a tunnel busy.
const given = process.argv.slice(2);
const reporters = given.some((arg) => arg.startsWith("--reporter")) ? [] : ["--reporter=default"];
const matrix = "--reporter=./test/interop/matrix-reporter.ts";
const args = ["vitest", "run", "--project", "interop", "--no-file-parallelism", ...reporters, matrix, ...given];
spawn("npx", args, { stdio: "inherit" }).on("close", (code) => process.exit(code ?? 1));

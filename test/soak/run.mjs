// Runs the long tests from a built tree: `node test/soak/run.mjs [--short] [vitest arguments]`. In full, which is the default, it
// also runs those of other folders that have a short form, and writes what came out into docs/soak.md. Needs Go, and in full what
// test/netns needs; where that is missing it says so in one line and exits with 77, which means skipped, never passed.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseCLI, startVitest } from "vitest/node";
import { requireGo } from "../../dist/test/support/go.js";

const short = process.argv[2] === "--short";
const given = process.argv.slice(short ? 3 : 2);
try {
  await requireGo("test/interop/reference-v0.36.0");
} catch (error) {
  if (error.code !== "go_missing") throw error;
  process.stderr.write(`SKIPPED: the soaks did not run: ${error.message}\n`);
  process.exit(77);
}
if (!short) process.env.HAWSER_SOAK = "1";

// Elsewhere, but for test/netns, which enters a network of its own. In their short form they run with their folder.
const elsewhere = ["test/interop/kubernetes-leases.test.ts", "test/faults/"];
const projects = ["soak", ...(short ? [] : ["interop", "faults"])].flatMap((name) => ["--project", name]);
// A name given on the command line may be that of a file in one folder only.
const reporters = short ? [] : ["--reporter=default", "--reporter=./test/soak/page-reporter.ts", "--passWithNoTests"];
const { filter, options } = parseCLI(["vitest", "run", ...projects, "--no-file-parallelism", ...reporters, ...given]);
const files = filter.length > 0 ? filter : ["test/soak/", ...(short ? [] : elsewhere)];
const vitest = await startVitest("test", files, options);
await vitest.close();
if (!short) {
  const netns = fileURLToPath(new URL("../netns/run.mjs", import.meta.url));
  const cuts = filter.length > 0 ? [] : ["test/netns/cut-"];
  const child = spawn(process.execPath, [netns, ...cuts, ...reporters, ...given], { stdio: "inherit" });
  const code = await new Promise((resolve) => child.once("close", resolve));
  process.exitCode ||= code ?? 1;
}

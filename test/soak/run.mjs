// Runs the long tests from a built tree: `node test/soak/run.mjs [--short] [vitest arguments]`. In full, which is the default, it
// also runs those of test/netns in full and writes what came out into docs/soak.md. Needs Go, and in full what test/netns needs;
// where that is missing it says so in one line and exits with 77, which means skipped, never passed.
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

// A name given on the command line may be that of a file in one of the two folders only.
const reporters = short ? [] : ["--reporter=default", "--reporter=./test/soak/page-reporter.ts", "--passWithNoTests"];
const args = ["vitest", "run", "--project", "soak", ...reporters, ...given];
const { filter, options } = parseCLI(args);
const vitest = await startVitest("test", filter, options);
await vitest.close();
if (!short) {
  const netns = fileURLToPath(new URL("../netns/run.mjs", import.meta.url));
  const child = spawn(process.execPath, [netns, ...reporters, ...given], { stdio: "inherit" });
  const code = await new Promise((resolve) => child.once("close", resolve));
  process.exitCode ||= code ?? 1;
}

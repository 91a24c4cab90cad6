// Runs the long tests from a built tree: `node test/soak/run.mjs [--short] [vitest arguments]`. In full, which is the default, it
// also runs those of other folders that have a short form, and writes what came out into docs/soak.md. Needs Go, and in full what
// test/netns needs; where that is missing it says so in one line and exits with 77, which means skipped, never passed.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseCLI, startVitest } from "vitest/node";
import { buildClient } from "../../dist/test/interop/client-programs.js";
import { buildDelay } from "../../dist/test/netns/delayed-wire.js";
import { requireNetworkTools, run } from "../../dist/test/netns/tools.js";
import { requireGo } from "../../dist/test/support/go.js";
import { buildEtcd, buildKubeApi } from "../../dist/test/support/kube-api-processes.js";
import { buildReference } from "../../dist/test/support/processes.js";

const modes = ["--short", "--inside"];
const mode = modes.find((name) => name === process.argv[2]);
const short = mode === "--short";
const given = process.argv.slice(mode === undefined ? 2 : 3);
try {
  await requireGo("test/interop/reference-v0.36.0");
  if (mode === undefined) await requireNetworkTools();
} catch (error) {
  if (error.code !== "go_missing" && error.code !== "network_tools_missing") throw error;
  process.stderr.write(`SKIPPED: the soaks did not run: ${error.message}\n`);
  process.exit(77);
}
if (mode === undefined) {
  await enterNetwork();
  process.exit();
}
if (!short) await runInside();

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

/**
 * Thousands of connections, with their endpoints on the same machine, may use up what its kernel has for all of TCP, and then every
 * connection crawls. In a network of its own each may have but what it would need on a wire.
 */
async function enterNetwork() {
  // Out here, because modules may have to be fetched.
  for (const version of ["v0.36.0", "v0.30.3"]) {
    for (const half of ["server", "agent"]) await buildReference(`reference-${version}`, half);
  }
  await buildClient("konnectivity-client-v0.36.0");
  await buildDelay();
  await buildEtcd();
  await buildKubeApi();
  const again = [process.execPath, fileURLToPath(import.meta.url), "--inside", ...given];
  const child = spawn("unshare", ["--net", "--kill-child", "--fork", ...again], { stdio: "inherit" });
  process.exitCode = await new Promise((resolve) => child.once("close", (code) => resolve(code ?? 1)));
}

async function runInside() {
  process.env.HAWSER_SOAK = "1";
  await run("ip", "link", "set", "lo", "up");
  // In bytes: the least, the first and the most, of what waits to be read and to be sent.
  for (const name of ["tcp_rmem", "tcp_wmem"]) writeFileSync(`/proc/sys/net/ipv4/${name}`, "4096 65536 131072");
}

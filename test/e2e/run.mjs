// Runs the tests of a whole cluster from a built tree: `node test/e2e/run.mjs [--can-fail] [--page] [vitest arguments]`. With --can-fail it
// runs the test of the tests in their place; with --page docs/e2e.md gets what came out. Needs Linux, root, iproute2, iptables,
// containerd, runc, the plugins of CNI, a static busybox, and Go. Where one is missing it says so in one line and exits with 77, which means
// skipped, never passed. All of it happens in namespaces that go with one process; what does not go with that, cgroups and files, is removed
// here, also after Ctrl-C, and a run that leaves something has failed.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseCLI, startVitest } from "vitest/node";
import { removeCgroup, topCgroups } from "../../dist/test/e2e/cgroups.js";
import { findLeftovers } from "../../dist/test/e2e/leftovers.js";
import { buildPodServer } from "../../dist/test/e2e/test-image.js";
import { requireClusterTools } from "../../dist/test/e2e/tools.js";
import { run } from "../../dist/test/netns/tools.js";
import { buildEtcd, buildKubernetes } from "../../dist/test/support/kube-api-processes.js";
import { buildReference } from "../../dist/test/support/processes.js";
import { until } from "../../dist/test/support/until.js";

const endsWithinMs = 20_000;

const own = { inside: "--inside", canFail: "--can-fail", page: "--page" };
const asked = new Set(process.argv.slice(2));
const given = process.argv.slice(2).filter((arg) => !Object.values(own).includes(arg));
if (asked.has(own.inside)) await runTests();
else process.exitCode = await enterNetwork();

async function enterNetwork() {
  try {
    await requireClusterTools();
    // Out here, because modules may have to be fetched.
    await buildEtcd();
    for (const program of ["kube-apiserver", "kubelet", "kubectl"]) await buildKubernetes(program);
    for (const half of ["server", "agent"]) await buildReference("reference-v0.36.0", half);
    await buildPodServer();
  } catch (error) {
    if (!["go_missing", "network_tools_missing", "cluster_tools_missing"].includes(error.code)) throw error;
    process.stderr.write(`SKIPPED: the tests of a whole cluster did not run: ${error.message}\n`);
    return 77;
  }
  await removeAbandoned();
  const cgroup = `hawser-e2e-${process.pid}`;
  const folder = mkdtempSync(join(tmpdir(), `${cgroup}-`));
  const again = [process.execPath, fileURLToPath(import.meta.url), own.inside, ...process.argv.slice(2)];
  const apart = ["--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
  const env = { ...process.env, TMPDIR: folder, HAWSER_E2E_CGROUP: cgroup };
  const code = await exitOf(
    spawn("unshare", [...apart, ...again], { stdio: ["pipe", "inherit", "inherit"], env, detached: true }),
  );
  await cleanUp(folder, cgroup);
  return code;
}

/** An interrupted run ends at once: everything in it goes with its first process. */
function exitOf(child) {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  const end = () => child.kill("SIGKILL");
  for (const signal of signals) process.on(signal, end);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 130));
  });
}

/** A run that was killed outright left these. */
async function removeAbandoned() {
  const isAbandoned = (name) => {
    const [, pid] = /^hawser-e2e-(\d+)/.exec(name) ?? [];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  for (const name of topCgroups().filter(isAbandoned)) await removeCgroup(name);
  for (const name of readdirSync(tmpdir()).filter(isAbandoned)) rmSync(join(tmpdir(), name), { recursive: true });
}

async function cleanUp(folder, cgroup) {
  const processes = () => findLeftovers(folder, cgroup).filter((left) => left.startsWith("process "));
  const describe = () => processes().join("\n");
  await until("the end of every process of the run", () => processes().length === 0, {
    withinMs: endsWithinMs,
    describe,
  });
  await removeCgroup(cgroup);
  rmSync(folder, { recursive: true, force: true });
  const left = findLeftovers(folder, cgroup);
  if (left.length > 0) throw new Error(`left by the run:\n${left.join("\n")}`);
}

async function runTests() {
  // As soon as whoever started this is gone, by whatever means, so is all that runs here.
  process.stdin.resume().on("end", () => process.exit(1));
  await run("ip", "link", "set", "lo", "up");
  // Named namespaces are files here; in this mount they are nobody else's, and go with it.
  mkdirSync("/run/netns", { recursive: true });
  await run("mount", "-t", "tmpfs", "tmpfs", "/run/netns");
  const reporters = given.some((arg) => arg.startsWith("--reporter")) ? [] : ["--reporter=default"];
  const checks = "--reporter=./test/e2e/checks-reporter.ts";
  // One file at a time: each has a cluster of its own.
  const args = ["vitest", "run", "--project", "e2e", "--no-file-parallelism", ...reporters, checks, ...given];
  const { filter, options } = parseCLI(args);
  if (asked.has(own.page)) {
    process.env.HAWSER_E2E_SECTION = asked.has(own.canFail) ? "Each check can fail" : "The last results";
  }
  const vitest = await startVitest("test", filter.length > 0 ? filter : files(), options);
  await vitest.close();
  process.stdin.destroy();
}

/** All but the test of the tests, or that alone. */
function files() {
  const tests = readdirSync(fileURLToPath(new URL(".", import.meta.url))).filter((name) => name.endsWith(".test.ts"));
  return tests
    .filter((name) => (name === "can-fail.test.ts") === asked.has(own.canFail))
    .map((name) => `test/e2e/${name}`);
}

// Runs tests in network namespaces from a built tree: `node test/netns/run.mjs [vitest arguments]`. Needs Linux, root, iproute2,
// iptables, and Go for the reference's halves and kube-apiserver. Where one is missing it says so in one line and exits with 77, which means
// skipped, never passed. All of it happens in namespaces that go with this process, and every process and network in them.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseCLI, startVitest } from "vitest/node";
import { buildDelay } from "../../dist/test/netns/delayed-wire.js";
import { requireNetworkTools, run } from "../../dist/test/netns/tools.js";
import { buildEtcd, buildKubeApi } from "../../dist/test/support/kube-api-processes.js";
import { buildReference } from "../../dist/test/support/processes.js";

const [first, ...rest] = process.argv.slice(2);
if (first === "--inside") await runTests(rest);
else await enterNetwork(process.argv.slice(2));

async function enterNetwork(given) {
  try {
    await requireNetworkTools();
    // Out here, because modules may have to be fetched.
    for (const half of ["server", "agent"]) await buildReference("reference-v0.36.0", half);
    await buildDelay();
    await buildEtcd();
    await buildKubeApi();
  } catch (error) {
    if (error.code !== "go_missing" && error.code !== "network_tools_missing") throw error;
    process.stderr.write(`SKIPPED: the tests in network namespaces did not run: ${error.message}\n`);
    process.exit(77);
  }
  const again = [process.execPath, fileURLToPath(import.meta.url), "--inside", ...given];
  const own = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  process.exitCode = await exitOf("unshare", [...own, ...again]);
}

async function runTests(given) {
  await run("ip", "link", "set", "lo", "up");
  // Named namespaces are files here; in this mount they are nobody else's, and go with it.
  mkdirSync("/run/netns", { recursive: true });
  await run("mount", "-t", "tmpfs", "tmpfs", "/run/netns");
  const args = ["vitest", "run", "--project", "netns", ...given];
  const { filter, options } = parseCLI(args);
  const vitest = await startVitest("test", filter, options);
  await vitest.close();
}

function exitOf(file, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: "inherit" });
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

// Tries deploy/ in kind clusters: `node test/kind/run.mjs`. Needs docker, kind and kubectl; where one is missing it says so in one line and
// exits with 77, which means skipped, never passed. The images are built by the Dockerfile, and the clusters are deleted again.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { version } from "../../dist/shared/version.js";

const run = promisify(execFile);
const up = fileURLToPath(new URL("../../deploy/kind/up.sh", import.meta.url));
const lines = 10_000;
/** Speaks, answers, and waits: what a pod does that is looked at through the tunnel. The image is there already. */
const program = `
  for (let line = 1; line <= ${lines}; line++) console.log("line", line);
  require("node:http").createServer((_, response) => response.end("from the pod")).listen(8080);
`;

for (const [name, ...probe] of [
  ["docker", "info"],
  ["kind", "version"],
  ["kubectl", "version", "--client"],
]) {
  await run(name, probe).catch((error) => {
    const why = error.code === "ENOENT" ? `there is no ${name}` : `${name} does not work: ${error.message.trim()}`;
    process.stderr.write(`SKIPPED: the tests in kind did not run: ${why.split("\n").join("; ")}\n`);
    process.exit(77);
  });
}

const counts = { passed: 0, failed: 0 };
for (const controlPlanes of ["one", "three"]) {
  const cluster = `hawser-test-${process.pid}-${controlPlanes}`;
  try {
    await inherit(up, [controlPlanes], { HAWSER_KIND_CLUSTER: cluster });
    await checkCluster(cluster);
  } catch (error) {
    counts.failed++;
    say(`FAILED: a cluster with ${controlPlanes} control-plane node(s): ${error.message}`);
  } finally {
    await inherit("kind", ["delete", "cluster", "--name", cluster], {});
  }
}
say(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed === 0 ? 0 : 1;

async function checkCluster(cluster) {
  const kubectl = (...args) => run("kubectl", ["--context", `kind-${cluster}`, ...args], { maxBuffer: 2 ** 26 });
  const check = async (name, work) => {
    try {
      await work();
      counts.passed++;
      say(`ok: ${cluster}: ${name}`);
    } catch (error) {
      counts.failed++;
      say(`FAILED: ${cluster}: ${name}: ${error.message}`);
    }
  };
  const image = `docker.io/hawser/proxy-agent:${version}`;
  await kubectl("run", "probe", `--image=${image}`, "--command", "--", "/nodejs/bin/node", "-e", program);
  await kubectl("wait", "--for=condition=Ready", "pod/probe", "--timeout=120s");

  await check("logs, each line", async () => {
    const { stdout } = await kubectl("logs", "probe");
    assert.equal(stdout.trimEnd().split("\n").length, lines);
  });
  await check("exec, with its exit code", async () => {
    const exec = kubectl("exec", "probe", "--", "/nodejs/bin/node", "-e", "console.log(40 + 2); process.exit(7)");
    await assert.rejects(exec, { code: 7, stdout: "42\n" });
  });
  await check("port-forward", async () => {
    const forward = spawn("kubectl", ["--context", `kind-${cluster}`, "port-forward", "pod/probe", ":8080"]);
    try {
      const [line] = await once(createInterface({ input: forward.stdout }), "line", {
        signal: AbortSignal.timeout(30_000),
      });
      const [, port] = /127\.0\.0\.1:(\d+)/.exec(line) ?? [];
      assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "from the pod");
    } finally {
      forward.kill();
    }
  });
  await check("nothing of this without agents: the tunnel is the only way", async () => {
    await kubectl("-n", "kube-system", "delete", "daemonset", "konnectivity-agent", "--cascade=foreground");
    await assert.rejects(kubectl("logs", "probe", "--tail=1"));
  });
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

/** Runs a program whose output is shown as it comes. */
async function inherit(file, args, env) {
  const child = spawn(file, args, { stdio: "inherit", env: { ...process.env, ...env } });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${file} ${args.join(" ")} ended with exit code ${code}`);
}

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { findCgroup } from "./cgroups.ts";

/** The cgroup of this run of the tests, by its path in each hierarchy. */
export function runCgroup(): string {
  const name = process.env.HAWSER_E2E_CGROUP;
  if (name === undefined) throw new Error("these tests need a network of their own: run them with npm run test:e2e");
  return name;
}

/**
 * What there still is of a run or a cluster with this folder: processes that were started with it, mounts in it, the cgroups of the run, network
 * namespaces and devices with the names of nodes. One line for each.
 */
export function findLeftovers(folder: string, cgroup: string): readonly string[] {
  return [
    ...(existsSync(folder) ? [`folder ${folder}`] : []),
    ...processesOf(folder).map((process) => `process ${process}`),
    ...readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(`${folder}/`))
      .map((line) => `mount ${line}`),
    ...nodeCgroups(cgroup).map((path) => `cgroup ${path}`),
    ...(existsSync("/run/netns") ? readdirSync("/run/netns") : [])
      .filter((name) => /^node-[ab]$/.test(name))
      .map((name) => `network namespace ${name}`),
    ...execFileSync("ip", ["-oneline", "link", "show"], { encoding: "utf8" })
      .split("\n")
      .filter((line) => /^\d+: (nodes|node-[ab])[@:]/.test(line))
      .map((line) => `network device ${line}`),
  ];
}

/** Throws if a cluster that has been stopped left something. */
export function expectNothingLeft(folder: string): void {
  const left = findLeftovers(folder, runCgroup());
  if (left.length > 0) throw new Error(`left by the cluster:\n${left.join("\n")}`);
}

function nodeCgroups(cgroup: string): readonly string[] {
  return findCgroup(cgroup).flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `${folder}/${name}`),
  );
}

/** Processes whose arguments or environment name the folder. One that has ended and is not reaped has neither. */
function processesOf(folder: string): readonly string[] {
  const own = String(process.pid);
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || pid === own) return [];
    try {
      const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, "latin1").replaceAll("\0", " ");
      return `${read("cmdline")} ${read("environ")}`.includes(folder) ? [`${pid} ${read("cmdline")}`] : [];
    } catch {
      // It has just gone.
      return [];
    }
  });
}

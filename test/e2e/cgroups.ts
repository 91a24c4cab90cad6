import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/until.ts";

const removeWithinMs = 20_000;

/** Where cgroups are: one folder for each hierarchy of version 1, and that of version 2. */
function hierarchies(): readonly string[] {
  const mounts = readFileSync("/proc/self/mounts", "utf8").trim().split("\n");
  return mounts.flatMap((line) => {
    const [, folder = "", type = ""] = line.split(" ");
    return type === "cgroup" || type === "cgroup2" ? [folder] : [];
  });
}

/** Makes a cgroup of this path in every hierarchy. */
export function makeCgroup(path: string): void {
  for (const hierarchy of hierarchies()) mkdirSync(join(hierarchy, path), { recursive: true });
}

/** Names of all cgroups at the top of a hierarchy. */
export function topCgroups(): readonly string[] {
  return [...new Set(hierarchies().flatMap((hierarchy) => readdirSync(hierarchy)))];
}

/** What there is of this cgroup. */
export function findCgroup(path: string): readonly string[] {
  return hierarchies()
    .map((hierarchy) => join(hierarchy, path))
    .filter((folder) => existsSync(folder));
}

/** Removes a cgroup with all that are in it. A process that is just ending keeps its own for a moment; rejects if one stays. */
export async function removeCgroup(path: string): Promise<void> {
  let busy: unknown;
  const remove = () => {
    try {
      for (const folder of findCgroup(path)) removeDepthFirst(folder);
    } catch (error) {
      busy = error;
    }
    return findCgroup(path).length === 0;
  };
  await until(`no cgroup ${path}`, remove, { withinMs: removeWithinMs, describe: () => String(busy) });
}

function removeDepthFirst(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeDepthFirst(join(folder, entry.name));
  }
  rmdirSync(folder);
}

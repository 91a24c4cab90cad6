import type { ProxyProcess } from "./processes.ts";
import { until } from "./until.ts";

/** The process of each worker that has served, by the worker's number: the newest that its server has told of. */
export function workerPids(server: ProxyProcess): ReadonlyMap<number, number> {
  const pids = new Map<number, number>();
  for (const line of server.stderr) {
    if (!line.includes('"worker serves"')) continue;
    const { worker, pid } = JSON.parse(line) as { readonly worker: number; readonly pid: number };
    pids.set(worker, pid);
  }
  return pids;
}

export function workerPid(server: ProxyProcess, worker: number): number {
  const pid = workerPids(server).get(worker);
  if (pid === undefined) throw new Error(`worker ${worker} has not served\n${server.describe()}`);
  return pid;
}

/** Resolves to the worker's process when it is another one than `before`. */
export function workerReplaced(server: ProxyProcess, worker: number, before: number): Promise<number> {
  const other = () => {
    const pid = workerPids(server).get(worker);
    return pid !== before && pid;
  };
  return until(`another process of worker ${worker}`, other, server.withinStart());
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

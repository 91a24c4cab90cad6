import { systemClock } from "../../shared/clock.ts";
import { UsageError } from "../../shared/errors.ts";
import { Profiler } from "../../shared/http/profiler.ts";
import { profilingRoutes } from "../../shared/http/profiling-routes.ts";
import { openKubernetesApi } from "../../shared/kubernetes/open-api.ts";
import { type Log, openLog } from "../../shared/log.ts";
import { pageOf } from "../../shared/metrics/page.ts";
import { addProcessMetrics } from "../../shared/metrics/registry.ts";
import { type ExitCode, ignoreSignals, watchDefects } from "../../shared/process.ts";
import { prepareRuntime } from "../../shared/runtime.ts";
import type { ServerOptions } from "../options.ts";
import { openServer } from "../service.ts";
import { PrimaryChannel } from "./primary-channel.ts";

/**
 * One worker of `--workers`: a whole proxy server without pages of its own. It does what the primary says, and node:cluster ends it
 * when that is gone.
 */
export async function main(): Promise<ExitCode> {
  // A terminal or a supervisor sends them to the whole group; the primary says what to do.
  ignoreSignals();
  const primary = new PrimaryChannel();
  const { worker, options } = await primary.started;
  try {
    return await run(primary, options, openLog(options.log).child({ worker }));
  } catch (error) {
    const reason = error instanceof UsageError ? error.message : ((error as Error).stack ?? String(error));
    await primary.send({ kind: "failed", reason });
    return 1;
  }
}

async function run(primary: PrimaryChannel, options: ServerOptions, log: Log): Promise<ExitCode> {
  prepareRuntime();
  const defect = watchDefects(log).then(() => "defect" as const);
  const kubernetes = options.kubernetes && (await openKubernetesApi({ clock: systemClock, log }, options.kubernetes));
  const { server, metrics } = openServer(options, { log, kubernetes });
  addProcessMetrics(metrics.registry);
  // One without agents counts as 0 among workers that have some.
  metrics.setReadyBackends(new Map(options.strategies.map((strategy) => [strategy, 0])), 0);
  const profiles = options.profiling
    ? profilingRoutes({ profiler: new Profiler({ clock: systemClock }), log })
    : undefined;
  primary.answer({
    ready: () => server.ready,
    metrics: () => pageOf(metrics.registry),
    profile: (path, question) => profiles?.get(path)?.(question) ?? { status: 404, body: "404 page not found\n" },
  });
  await server.start();
  await primary.send({ kind: "started" });
  if ((await Promise.race([primary.stopping, defect])) === "defect") return 1;
  await server.stop({ hurry: primary.hurry });
  kubernetes?.close();
  return 0;
}

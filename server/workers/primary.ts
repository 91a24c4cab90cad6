import cluster from "node:cluster";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../shared/clock.ts";
import { metricsAnswer, noAgent, ok } from "../../shared/http/health-routes.ts";
import type { HttpAnswer, HttpHandler, HttpRoutes } from "../../shared/http/listener.ts";
import { exposePage, pageOf } from "../../shared/metrics/page.ts";
import { openRegistry } from "../../shared/metrics/registry.ts";
import type { Service, ServiceDeps } from "../../shared/program.ts";
import { version } from "../../shared/version.ts";
import { removeSocketFile, socketFileMask } from "../listeners/listener.ts";
import type { ServerOptions } from "../options.ts";
import { SupervisionMetrics } from "./worker-metrics.ts";
import { workerOptions } from "./worker-options.ts";
import { WorkerPool } from "./worker-pool.ts";
import { WorkerProcess } from "./worker-process.ts";

/** `proxy-server` with several workers: this process has their pages, hands them the sockets that come, and carries nothing itself. */
export function openPrimary(options: ServerOptions, { log }: ServiceDeps): Service {
  const registry = openRegistry({ version });
  const metrics = new SupervisionMetrics(registry);
  const deps = { clock: systemClock, log, metrics, fork: forkWorker(options) };
  const pool = new WorkerPool(deps, options);
  const metricsPage: HttpHandler = async () =>
    metricsAnswer(await exposePage(await pool.metrics(await pageOf(registry))));
  const readiness: HttpHandler = async () => ((await pool.unready()).length === 0 ? ok : noAgent);
  return {
    registry,
    healthRoutes: new Map<string, HttpHandler>([
      ["/healthz", async () => liveness(await pool.silent())],
      ["/readyz", readiness],
      ["/ready", readiness],
      ["/metrics", metricsPage],
    ]),
    adminRoutes: new Map([["/metrics", metricsPage]]),
    profiles: (own) => profilesOf(pool, own),
    failed: pool.failed,
    start() {
      prepareSocketFile(options);
      return pool.start();
    },
    stop: (how) => pool.stop(how),
  };
}

/** As where there is one process: one that hangs is to be started again. */
function liveness(silent: readonly number[]): HttpAnswer {
  return silent.length === 0 ? ok : { status: 500, body: `no answer from worker ${silent.join(", ")}\n` };
}

/** node:cluster binds in this process what its workers listen on, and shares it out among them. */
function prepareSocketFile({ frontends }: ServerOptions): void {
  for (const { listen } of frontends) {
    if (listen.kind !== "uds") continue;
    if (listen.deleteExisting) removeSocketFile(listen.path);
    // For good: the bind comes whenever a worker asks for it.
    process.umask(socketFileMask);
  }
}

function forkWorker(options: ServerOptions): (worker: number) => WorkerProcess {
  cluster.setupPrimary({
    exec: fileURLToPath(new URL("./bin.js", import.meta.url)),
    args: [],
    serialization: "advanced",
  });
  // The kernel would give most of what comes to one or two of them.
  cluster.schedulingPolicy = cluster.SCHED_RR;
  return (worker) => new WorkerProcess(cluster.fork(), { worker, options: workerOptions(options, worker) });
}

/** Those of the worker that `?worker=` names; without it, those of this process. */
function profilesOf(pool: WorkerPool, own: HttpRoutes): HttpRoutes {
  const routes = [...own].map(([path, handler]): readonly [string, HttpHandler] => [
    path,
    async (question) => {
      const worker = question.query.get("worker");
      if (worker === null) return await handler(question);
      const answer = await pool.profile(Number(worker), path, question);
      return answer ?? { status: 404, body: "there is no such worker, or it does not serve now\n" };
    },
  ]);
  return new Map(routes);
}

import { systemClock } from "../shared/clock.ts";
import { serverAdminRoutes, serverHealthRoutes } from "../shared/http/health-routes.ts";
import { startHttpListener } from "../shared/http/listener.ts";
import { openKubernetesApi } from "../shared/kubernetes/open-api.ts";
import { openLog } from "../shared/log.ts";
import { addProcessMetrics } from "../shared/metrics/registry.ts";
import { type ExitCode, reportStartFailure, watchDefects, watchSignals } from "../shared/process.ts";
import { version } from "../shared/version.ts";
import { ServerMetrics } from "./metrics.ts";
import { parseServerOptions, type ServerOptions } from "./options.ts";
import { ProxyServer } from "./server.ts";

/** Runs a proxy server until a signal ends it. `argv` without the program's name. Never rejects. */
export async function main(argv: readonly string[]): Promise<ExitCode> {
  try {
    const command = parseServerOptions(argv, process.env);
    if (command.kind === "run") return await run(command.options);
    process.stdout.write(command.kind === "version" ? `proxy-server ${version}\n` : command.text);
    return 0;
  } catch (error) {
    return reportStartFailure("proxy-server", error);
  }
}

async function run(options: ServerOptions): Promise<ExitCode> {
  const log = openLog(options.log);
  const defect = watchDefects(log).then(() => undefined);
  log.info({ version, node: process.version, flags: Object.fromEntries(options.flagValues) }, "proxy-server starts");
  for (const notice of options.notices) log.warn(notice);
  const metrics = new ServerMetrics({ version });
  addProcessMetrics(metrics.registry);
  const kubernetes = options.kubernetes && (await openKubernetesApi({ clock: systemClock, log }, options.kubernetes));
  const server = new ProxyServer({ clock: systemClock, random: Math.random, log, metrics, kubernetes }, options);
  const signals = watchSignals();
  const health = await startHttpListener({
    label: "health",
    ...options.health,
    routes: serverHealthRoutes({ ready: () => server.ready, registry: metrics.registry }),
    log,
  });
  const admin = await startHttpListener({
    label: "admin",
    ...options.admin,
    routes: serverAdminRoutes(metrics),
    log,
  });
  await server.start();
  const hurry = new AbortController();
  void signals.second.then(() => hurry.abort());
  const signal = await Promise.race([signals.first, defect]);
  if (signal === undefined) return 1;
  log.info({ signal }, "shutting down");
  await server.stop({ hurry: hurry.signal });
  signals.stop();
  kubernetes?.close();
  await Promise.all([health.close(), admin.close()]);
  return hurry.signal.aborted ? 1 : 0;
}

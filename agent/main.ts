import { systemClock } from "../shared/clock.ts";
import { agentAdminRoutes, agentHealthRoutes } from "../shared/http/health-routes.ts";
import { startHttpListener } from "../shared/http/listener.ts";
import { openKubernetesApi } from "../shared/kubernetes/open-api.ts";
import { openLog } from "../shared/log.ts";
import { addProcessMetrics } from "../shared/metrics/registry.ts";
import { type ExitCode, reportStartFailure, watchDefects, watchSignals } from "../shared/process.ts";
import { version } from "../shared/version.ts";
import { ProxyAgent } from "./agent.ts";
import { AgentMetrics } from "./metrics.ts";
import { type AgentOptions, parseAgentOptions } from "./options.ts";

/** Runs a proxy agent until a signal ends it. `argv` without the program's name. Never rejects. */
export async function main(argv: readonly string[]): Promise<ExitCode> {
  try {
    const command = parseAgentOptions(argv, process.env);
    if (command.kind === "run") return await run(command.options);
    process.stdout.write(command.kind === "version" ? `proxy-agent ${version}\n` : command.text);
    return 0;
  } catch (error) {
    return reportStartFailure("proxy-agent", error);
  }
}

async function run(options: AgentOptions): Promise<ExitCode> {
  const log = openLog(options.log);
  const defect = watchDefects(log).then(() => undefined);
  log.info({ version, node: process.version, flags: Object.fromEntries(options.flagValues) }, "proxy-agent starts");
  for (const notice of options.notices) log.warn(notice);
  const metrics = new AgentMetrics({ version });
  addProcessMetrics(metrics.registry);
  const kubernetes = options.kubernetes && (await openKubernetesApi({ clock: systemClock, log }, options.kubernetes));
  const agent = new ProxyAgent({ clock: systemClock, random: Math.random, log, metrics, kubernetes }, options);
  const signals = watchSignals();
  const health = await startHttpListener({
    label: "health",
    ...options.health,
    routes: agentHealthRoutes({ ready: () => agent.ready, registry: metrics.registry }),
    log,
  });
  const admin = await startHttpListener({
    label: "admin",
    ...options.admin,
    routes: agentAdminRoutes({ healthPort: options.health.port }),
    log,
  });
  agent.start();
  const hurry = new AbortController();
  void signals.second.then(() => hurry.abort());
  const signal = await Promise.race([signals.first, defect]);
  if (signal === undefined) return 1;
  log.info({ signal }, "shutting down");
  await agent.drain({ hurry: hurry.signal });
  await agent.stop();
  kubernetes?.close();
  signals.stop();
  await Promise.all([health.close(), admin.close()]);
  return 0;
}

import { systemClock } from "../shared/clock.ts";
import { serverAdminRoutes, serverHealthRoutes } from "../shared/http/health-routes.ts";
import type { ExitCode } from "../shared/process.ts";
import { runProgram } from "../shared/program.ts";
import { version } from "../shared/version.ts";
import { ServerMetrics } from "./metrics.ts";
import { parseServerOptions, type ServerOptions } from "./options.ts";
import { ProxyServer } from "./server.ts";

/** Runs a proxy server until a signal ends it. `argv` without the program's name. Never rejects. */
export function main(argv: readonly string[]): Promise<ExitCode> {
  const metrics = new ServerMetrics({ version });
  return runProgram<ServerOptions>({
    name: "proxy-server",
    parse: () => parseServerOptions(argv, process.env),
    metrics,
    open(options, deps) {
      const server = new ProxyServer({ clock: systemClock, random: Math.random, metrics, ...deps }, options);
      return {
        healthRoutes: serverHealthRoutes({ ready: () => server.ready, registry: metrics.registry }),
        adminRoutes: serverAdminRoutes(metrics),
        start: () => server.start(),
        stop: (how) => server.stop(how),
      };
    },
    hurriedExitCode: 1,
  });
}

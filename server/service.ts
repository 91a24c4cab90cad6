import { systemClock } from "../shared/clock.ts";
import { serverAdminRoutes, serverHealthRoutes } from "../shared/http/health-routes.ts";
import type { Service, ServiceDeps } from "../shared/program.ts";
import { version } from "../shared/version.ts";
import { ServerMetrics } from "./metrics.ts";
import type { ServerOptions } from "./options.ts";
import { ProxyServer } from "./server.ts";

/** The server that this process is, alone or as a worker, with its own metrics. */
export function openServer(options: ServerOptions, deps: ServiceDeps): { server: ProxyServer; metrics: ServerMetrics } {
  const metrics = new ServerMetrics({ version });
  const server = new ProxyServer({ clock: systemClock, random: Math.random, metrics, ...deps }, options);
  return { server, metrics };
}

/** All of `proxy-server` in this process. */
export function openService(options: ServerOptions, deps: ServiceDeps): Service {
  const { server, metrics } = openServer(options, deps);
  return {
    registry: metrics.registry,
    healthRoutes: serverHealthRoutes({ ready: () => server.ready, registry: metrics.registry }),
    adminRoutes: serverAdminRoutes(metrics),
    start: () => server.start(),
    stop: (how) => server.stop(how),
  };
}

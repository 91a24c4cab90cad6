import { hostPort } from "../host-port.ts";
import { expose, expositionContentType, type Registry } from "../metrics/registry.ts";
import type { HttpAnswer, HttpHandler, HttpRoutes } from "./listener.ts";

/** What a half tells about itself. */
export interface HealthSources {
  readonly ready: () => boolean;
  readonly registry: Registry;
}

export const ok: HttpAnswer = { status: 200, body: "ok" };

/** The server's word for not being ready. Source: the reference. */
export const noAgent: HttpAnswer = { status: 500, body: "no connection to any proxy agent" };

/** The health port of the server. Source: the reference. */
export function serverHealthRoutes(sources: HealthSources): HttpRoutes {
  return healthRoutes(sources, () => (sources.ready() ? ok : noAgent));
}

/** The health port of the agent. Source: the reference. */
export function agentHealthRoutes(sources: HealthSources): HttpRoutes {
  return healthRoutes(sources, ({ query }) => {
    if (!sources.ready()) {
      return { status: 503, body: "[+]ping ok\n[-]server-connected failed: no servers connected\n" };
    }
    return query.has("verbose") ? { status: 200, body: "[+]ping ok\n[+]server-connected ok\ncheck passed\n" } : ok;
  });
}

/** The admin port of the server: the same metrics as on its health port. */
export function serverAdminRoutes({ registry }: { readonly registry: Registry }): HttpRoutes {
  return new Map([["/metrics", metricsHandler(registry)]]);
}

/** The admin port of the agent: sends who asks for metrics to the health port, under the host name that they used. */
export function agentAdminRoutes({ healthPort }: { readonly healthPort: number }): HttpRoutes {
  return new Map<string, HttpHandler>([
    [
      "/metrics",
      ({ host }) => {
        const authority = hostPort(hostWithoutPort(host), healthPort);
        return { status: 301, body: "", headers: { Location: `//${authority}/metrics` } };
      },
    ],
  ]);
}

function healthRoutes({ registry }: HealthSources, readiness: HttpHandler): HttpRoutes {
  return new Map<string, HttpHandler>([
    ["/healthz", () => ok],
    ["/readyz", readiness],
    ["/ready", readiness],
    ["/metrics", metricsHandler(registry)],
  ]);
}

const metricsHandler =
  (registry: Registry): HttpHandler =>
  async () =>
    metricsAnswer(await expose(registry));

export const metricsAnswer = (body: string): HttpAnswer => ({
  status: 200,
  body,
  headers: { "Content-Type": expositionContentType },
});

/** The host of `host:port` or `[host]:port`, or all of it where it has no port, as a bare IPv6 address. */
export function hostWithoutPort(host: string): string {
  return /^\[(.*)\](?::\d*)?$/.exec(host)?.[1] ?? /^([^:]*):\d*$/.exec(host)?.[1] ?? host;
}

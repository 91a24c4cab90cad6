import { describe, expect, it } from "vitest";
import {
  agentAdminRoutes,
  agentHealthRoutes,
  hostWithoutPort,
  serverAdminRoutes,
  serverHealthRoutes,
} from "../../../../shared/http/health-routes.ts";
import type { HttpRoutes } from "../../../../shared/http/listener.ts";
import { expose, openRegistry } from "../../../../shared/metrics/registry.ts";

const registry = openRegistry({ version: "0" });
const sources = (ready: boolean) => ({ ready: () => ready, registry });
const ask = (routes: HttpRoutes, path: string, { query = "", host = "h:1" } = {}) =>
  routes.get(path)?.({ query: new URLSearchParams(query), host, signal: new AbortController().signal });
const metrics = async () => ({
  status: 200,
  body: await expose(registry),
  headers: { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" },
});
const ok = { status: 200, body: "ok" };

describe("the server's pages", () => {
  it.each(["/readyz", "/ready"])("tell at %s whether an agent is there", async (path) => {
    expect(await ask(serverHealthRoutes(sources(true)), path)).toEqual(ok);
    expect(await ask(serverHealthRoutes(sources(false)), path)).toEqual({
      status: 500,
      body: "no connection to any proxy agent",
    });
  });

  it("are healthy without agents, and hold the metrics twice", async () => {
    const health = serverHealthRoutes(sources(false));
    expect(await ask(health, "/healthz")).toEqual(ok);
    expect(await ask(health, "/metrics")).toEqual(await metrics());
    const admin = serverAdminRoutes({ registry });
    expect(await ask(admin, "/metrics")).toEqual(await metrics());
    expect([...health.keys(), ...admin.keys()]).toEqual(["/healthz", "/readyz", "/ready", "/metrics", "/metrics"]);
  });
});

describe("the agent's pages", () => {
  const [ready, unready] = [agentHealthRoutes(sources(true)), agentHealthRoutes(sources(false))];

  it.each(["/readyz", "/ready"])("tell at %s whether a server is there", async (path) => {
    expect(await ask(ready, path)).toEqual(ok);
    for (const query of ["verbose", "verbose=", "verbose=1", "x&verbose"]) {
      expect(await ask(ready, path, { query })).toEqual({
        status: 200,
        body: "[+]ping ok\n[+]server-connected ok\ncheck passed\n",
      });
    }
    for (const query of ["", "verbose"]) {
      expect(await ask(unready, path, { query })).toEqual({
        status: 503,
        body: "[+]ping ok\n[-]server-connected failed: no servers connected\n",
      });
    }
  });

  it("are healthy without servers, and hold the metrics", async () => {
    expect(await ask(unready, "/healthz")).toEqual(ok);
    expect(await ask(unready, "/metrics")).toEqual(await metrics());
  });

  it.each([
    ["node-1:8094", "//node-1:8093/metrics"],
    ["10.0.0.1", "//10.0.0.1:8093/metrics"],
    ["[2001:db8::1]:8094", "//[2001:db8::1]:8093/metrics"],
  ])("send who asks %s for metrics at the admin port to the health port", async (host, location) => {
    expect(await ask(agentAdminRoutes({ healthPort: 8093 }), "/metrics", { host })).toEqual({
      status: 301,
      body: "",
      headers: { Location: location },
    });
  });
});

it.each([
  ["localhost:8080", "localhost"],
  ["localhost", "localhost"],
  ["192.168.0.1:8080", "192.168.0.1"],
  ["::", "::"],
  ["9878::7675:1292:9183:7562", "9878::7675:1292:9183:7562"],
  ["[alsk:1204:1020::1292]:8080", "alsk:1204:1020::1292"],
  ["[::1]", "::1"],
  [" www.kubernetes.test:8080", " www.kubernetes.test"],
  ["", ""],
])("the host of %j is %j", (host, name) => {
  expect(hostWithoutPort(host)).toBe(name);
});

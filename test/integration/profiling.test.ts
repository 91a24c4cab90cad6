import { once } from "node:events";
import { get } from "node:http";
import { expect, it } from "vitest";
import { freePort } from "../support/ports.ts";
import { Tunnel } from "../support/tunnel.ts";

async function ask(port: number, path: string) {
  const [response] = await once(get({ host: "127.0.0.1", port, path, agent: false }), "response");
  return { status: response.statusCode as number, body: (await response.toArray()).join("") as string };
}

async function tunnelWith(flags: readonly string[]) {
  const ports = { server: await freePort(), agent: await freePort() };
  const tunnel = await Tunnel.start({
    server: "hawser",
    agent: "hawser",
    frontend: { protocol: "grpc", transport: "uds" },
    serverFlags: [`--admin-port=${ports.server}`, ...flags],
    agentFlags: [`--admin-server-port=${ports.agent}`, ...flags],
  });
  return { tunnel, ports: Object.values(ports) };
}

it("both halves serve profiles of themselves on the admin listener, and on no other", async () => {
  const { tunnel, ports } = await tunnelWith(["--enable-profiling"]);
  try {
    for (const port of ports) {
      const [index, metrics, profile] = await Promise.all(
        ["/debug/pprof/", "/metrics", "/debug/pprof/profile?seconds=1"].map((path) => ask(port, path)),
      );
      expect(index?.status).toBe(200);
      expect([200, 301]).toContain(metrics?.status);
      expect(profile?.status).toBe(200);
      expect(profile?.body).toMatch(/\/dist\/(server|agent|shared)\//);
    }
    for (const half of [tunnel.server, ...tunnel.agents]) expect((await half.get("/debug/pprof/")).status).toBe(404);
  } finally {
    await tunnel.stop();
  }
});

it("neither does unless asked to", async () => {
  const { tunnel, ports } = await tunnelWith([]);
  try {
    for (const port of ports) {
      for (const path of ["", "/", "/profile", "/heap", "/cmdline", "/trace"]) {
        expect([path, (await ask(port, `/debug/pprof${path}`)).status]).toEqual([path, 404]);
      }
    }
  } finally {
    await tunnel.stop();
  }
});

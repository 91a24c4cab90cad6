import { afterEach, expect, test } from "vitest";
import { echoEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { freePort } from "../../support/ports.ts";
import { type ProxyProcess, startAgent, startServer } from "../../support/processes.ts";
import { Scene } from "../../support/scene.ts";
import { Tunnel } from "../../support/tunnel.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";
import { Workspace } from "../../support/workspace.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const becomes = (half: ProxyProcess, status: number) =>
  until(`${half.name}: ${status} on /readyz`, async () => (await half.get("/readyz")).status === status, {
    withinMs: 10_000,
    describe: () => half.describe(),
  });

test.each(["grpc", "connect"] as const)("a %s server is ready from its first agent to its last", async (protocol) => {
  const frontend = { protocol, transport: "uds" } as const;
  const tunnel = await Tunnel.start({ server: "hawser", agent: "hawser", frontend, agentCount: 0 });
  closers.push(() => tunnel.stop());
  const { server } = tunnel;
  expect(await server.get("/healthz")).toEqual({ status: 200, body: "ok" });
  expect(await server.get("/readyz")).toEqual({ status: 500, body: "no connection to any proxy agent" });
  const agent = await tunnel.addAgent();
  expect(await server.get("/readyz")).toEqual({ status: 200, body: "ok" });
  expect(await agent.get("/readyz")).toEqual({ status: 200, body: "ok" });
  tunnel.killAgent(agent);
  await becomes(server, 500);
});

test("an agent is live without a server, and ready as long as it has one", async () => {
  const workspace = new Workspace();
  closers.push(() => workspace.remove());
  const agentPort = await freePort();
  const [implementation, agentId, startedAt] = ["hawser", "agent-0", "/healthz"] as const;
  const agent = await startAgent({ implementation, workspace, agentPort, agentId, startedAt });
  closers.push(() => agent.stop());
  expect((await agent.get("/readyz")).status).toBe(503);
  const frontend = { protocol: "grpc", transport: "uds" } as const;
  const flags = [`--agent-port=${agentPort}`];
  const server = await startServer({ implementation, workspace, frontend, flags });
  closers.push(() => server.stop());
  await becomes(agent, 200);
  await server.stop();
  await becomes(agent, 503);
  expect((await agent.get("/healthz")).status).toBe(200);
});

test("a server that shuts down is unready at once, and live as long as it serves", async () => {
  const scene = await Scene.start({ serverFlags: ["--graceful-shutdown-timeout=1h"] });
  closers.push(() => scene.tunnel.stop());
  const echo = await scene.endpoint(echoEndpoint());
  const { duplex, close } = await scene.connection(echo.address);
  const { server } = scene.tunnel;
  server.kill("SIGTERM");
  await becomes(server, 500);
  expect(await server.get("/healthz")).toEqual({ status: 200, body: "ok" });
  expect(await server.metric("established_connections")).toBe(1);
  duplex.write("still served");
  expect((await readBytes(duplex, 12)).toString()).toBe("still served");
  await close();
  expect(await within(5_000, "the server's exit", server.exited)).toEqual({ code: 0, signal: null });
  await echo.close();
});

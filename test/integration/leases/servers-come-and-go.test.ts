import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { microTime } from "../../../shared/kubernetes/lease.ts";
import { FakeKubeApi } from "../../support/fake-kube-api.ts";
import { FakeLeaseApi } from "../../support/fake-lease-api.ts";
import { type ProxyProcess, type ProxyServer, startAgent, startServer } from "../../support/processes.ts";
import { RoundRobin } from "../../support/round-robin.ts";
import { serveLeases } from "../../support/serve-leases.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";
import { Workspace } from "../../support/workspace.ts";

const leaseOf = (server: number) => `konnectivity-proxy-server-server-${server}`;
const withinMs = 20_000;

let workspace: Workspace;
let api: FakeKubeApi;
let apiIsUp: boolean;
let leases: FakeLeaseApi;
let balancer: RoundRobin;
const servers = new Map<number, ProxyServer>();
const agents: ProxyProcess[] = [];

beforeEach(async () => {
  workspace = new Workspace();
  api = await FakeKubeApi.start();
  apiIsUp = true;
  leases = new FakeLeaseApi();
  serveLeases(api, leases);
  writeFileSync(workspace.path("kubeconfig"), api.kubeconfig());
  balancer = await RoundRobin.start();
});

afterEach(async () => {
  await Promise.all([...agents.splice(0), ...servers.values()].map((child) => child.stop()));
  servers.clear();
  await balancer.stop();
  if (apiIsUp) await stopApi();
  workspace.remove();
});

async function stopApi(): Promise<void> {
  apiIsUp = false;
  await api.close();
}

async function restartApi(): Promise<void> {
  await api.listen();
  apiIsUp = true;
}

async function addServer(id: number): Promise<ProxyServer> {
  const server = await startServer({
    implementation: "hawser",
    workspace,
    frontend: { protocol: "grpc", transport: "tcp" },
    flags: [
      `--server-id=server-${id}`,
      "--enable-lease-controller",
      `--kubeconfig=${workspace.path("kubeconfig")}`,
      "--graceful-shutdown-timeout=0",
    ],
  });
  servers.set(id, server);
  balancer.targets = [...servers.values()].map(({ agentPort }) => agentPort);
  return server;
}

function forgetServer(id: number): void {
  servers.delete(id);
  balancer.targets = [...servers.values()].map(({ agentPort }) => agentPort);
}

async function addAgent(id: string, flags: readonly string[] = []): Promise<ProxyProcess> {
  const agent = await startAgent({
    implementation: "hawser",
    workspace,
    agentPort: balancer.port,
    agentId: id,
    flags: ["--count-server-leases", `--kubeconfig=${workspace.path("kubeconfig")}`, ...flags],
  });
  agents.push(agent);
  return agent;
}

const describe = () => [...agents, ...servers.values()].map((child) => child.describe()).join("\n");

/** Resolves when every agent knows of so many servers and is linked to so many. */
async function agentsSee(known: number, linked: number): Promise<void> {
  for (const agent of agents) {
    const asExpected = async () =>
      (await agent.metric("known_server_count")) === known &&
      (await agent.metric("open_server_connections")) === linked;
    await until(`${agent.name}: ${known} servers known, ${linked} linked`, asExpected, { withinMs, describe });
  }
}

const hasLease = (id: number) =>
  until(`the lease of server ${id}`, () => leases.lease(leaseOf(id)), { withinMs, describe });

it("agents find the servers by their leases, one that leaves, one that dies and one that comes", async () => {
  for (const id of [1, 2, 3]) {
    await addServer(id);
    await hasLease(id);
  }
  await addAgent("a");
  await addAgent("b");
  await agentsSee(3, 3);

  const leaving = servers.get(1);
  forgetServer(1);
  leaving?.kill("SIGTERM");
  expect(await within(withinMs, "the exit of server 1", leaving?.exited ?? Promise.reject())).toMatchObject({
    code: 0,
  });
  expect(leases.lease(leaseOf(1))).toBeUndefined();
  await agentsSee(2, 2);

  const dying = servers.get(2);
  forgetServer(2);
  dying?.kill("SIGKILL");
  await dying?.exited;
  // As if its 30 s were over.
  leases.put({
    metadata: { name: leaseOf(2), labels: { "k8s-app": "konnectivity-server" } },
    spec: { leaseDurationSeconds: 30, renewTime: microTime(Date.now() - 31_000) },
  });
  await agentsSee(1, 1);

  const newcomer = await addServer(4);
  await agentsSee(2, 2);
  // Whoever of the two is first at it.
  await until("the lease of server 2 to be removed", () => leases.lease(leaseOf(2)) === undefined, {
    withinMs,
    describe,
  });
  const culled = async (server: ProxyServer) => await server.metric("culled_leases_count");
  await until(
    "its removal to be counted",
    async () => (await culled(newcomer)) + (await culled(servers.get(3) as ProxyServer)) === 1,
    { withinMs, describe },
  );
});

it("an API outage costs nobody a link, is logged once, and is over when the API is back", async () => {
  for (const id of [1, 2]) {
    await addServer(id);
    await hasLease(id);
  }
  const agent = await addAgent("a");
  await agentsSee(2, 2);

  await stopApi();
  const told = () => agent.stderr.filter((line) => line.includes("cannot follow the leases of servers"));
  await until("the agent to notice", () => told().length > 0, { withinMs, describe });
  // A server restarts meanwhile, and the agent still knows that there are two.
  const restarted = servers.get(2);
  forgetServer(2);
  restarted?.kill("SIGKILL");
  await agentsSee(2, 1);
  const again = await addServer(2);
  await agentsSee(2, 2);
  await until("the server to notice", () => again.stderr.some((line) => line.includes("cannot renew")), {
    withinMs,
    describe,
  });

  const before = leases.lease(leaseOf(2))?.metadata.resourceVersion;
  await restartApi();
  await until("a renewed lease", () => leases.lease(leaseOf(2))?.metadata.resourceVersion !== before, {
    withinMs,
    describe,
  });
  await until(
    "the agent to follow again",
    () => {
      leases.bookmark();
      return agent.stderr.some((line) => line.includes("following the leases of servers again"));
    },
    { withinMs, describe },
  );
  expect(told().filter((line) => line.includes('"level":"warn"')).length).toBe(1);
  await agentsSee(2, 2);
});

it("an API that is away at the start holds neither half up, and a server does not wait for it at the end", async () => {
  await stopApi();
  const server = await addServer(1);
  const agent = await addAgent("a");
  expect((await agent.get("/healthz")).status).toBe(200);
  await agentsSee(1, 1);
  forgetServer(1);
  server.kill("SIGTERM");
  expect(await within(withinMs, "the server's exit", server.exited)).toEqual({ code: 0, signal: null });
});

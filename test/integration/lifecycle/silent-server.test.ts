import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { startAgent, startServer } from "../../support/processes.ts";
import { RoundRobin } from "../../support/round-robin.ts";
import { Workspace } from "../../support/workspace.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

test("a server that never answers does not keep its agent from another", async () => {
  const workspace = new Workspace();
  closers.push(() => workspace.remove());
  const { cluster } = workspace.certificates;
  const silent = createSecureServer({ cert: readFileSync(cluster.cert), key: readFileSync(cluster.key) });
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  closers.push(() => silent.close());
  const asked = once(silent, "stream");
  const frontend = { protocol: "grpc", transport: "uds" } as const;
  const server = await startServer({ implementation: "hawser", workspace, frontend });
  closers.push(() => server.stop());
  const balancer = await RoundRobin.start();
  closers.push(() => balancer.stop());
  balancer.targets = [(silent.address() as AddressInfo).port, server.agentPort];

  const agent = await startAgent({
    implementation: "hawser",
    workspace,
    agentPort: balancer.port,
    agentId: "agent-0",
  });
  closers.push(() => agent.stop());
  await asked;
  expect(await server.metric("ready_backends", { proxy_strategy: "default" })).toBe(1);
});

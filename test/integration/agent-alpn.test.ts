import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { startAgent } from "../support/processes.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

test("an agent offers what --alpn-proto names before h2, and goes by none but h2", async () => {
  const workspace = new Workspace();
  closers.push(() => workspace.remove());
  const { cluster } = workspace.certificates;
  const offers: string[][] = [];
  const balancer = createServer({
    cert: readFileSync(cluster.cert),
    key: readFileSync(cluster.key),
    minVersion: "TLSv1.3",
    ALPNCallback: ({ protocols }) => {
      offers.push(protocols);
      return "test-proto";
    },
  });
  // The agent leaves as soon as it knows what was chosen, which may be before this end is done.
  balancer.on("tlsClientError", () => {});
  balancer.listen(0, "127.0.0.1");
  await once(balancer, "listening");
  closers.push(() => balancer.close());
  const agent = await startAgent({
    implementation: "hawser",
    workspace,
    agentPort: (balancer.address() as AddressInfo).port,
    agentId: "agent-0",
    flags: ["--alpn-proto=test-proto"],
    startedAt: "/healthz",
  });
  closers.push(() => agent.stop());
  const complaint = () => agent.stderr.some((line) => line.includes("the peer did not agree to HTTP/2 (ALPN h2)"));
  await until("the agent to see test-proto chosen", complaint, agent.withinStart());
  expect(offers[0]).toEqual(["test-proto", "h2"]);
});

test("a server takes h2 out of a longer list", async () => {
  const frontend = { protocol: "grpc", transport: "uds" } as const;
  const agentFlags = ["--alpn-proto=test-proto"];
  const tunnel = await Tunnel.start({ server: "hawser", agent: "hawser", frontend, agentFlags });
  closers.push(() => tunnel.stop());
  expect(await tunnel.agents[0]?.metric("open_server_connections")).toBe(1);
});

import { afterAll, beforeAll, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { dialGrpc, frontendSession, readBytes } from "../../support/frontend-client.ts";
import { type FrontendKind, type ProxyServer, startServer } from "../../support/processes.ts";
import { RoundRobin } from "../../support/round-robin.ts";
import { RunningTransfers } from "../../support/transfers.ts";
import { Tunnel } from "../../support/tunnel.ts";
import { until } from "../../support/until.ts";

// Over TCP, since both servers would have one socket file.
const frontend: FrontendKind = { protocol: "grpc", transport: "tcp" };
const serverFlags = ["--server-id=twin", "--server-count=2"];

let balancer: RoundRobin;
let tunnel: Tunnel;
let other: ProxyServer | undefined;
let echo: Endpoint;
beforeAll(async () => {
  balancer = await RoundRobin.start();
  echo = await echoEndpoint();
  tunnel = await Tunnel.start({
    server: "hawser",
    agent: "hawser",
    frontend,
    agentCount: 0,
    serverFlags,
    agentFlags: [`--proxy-server-port=${balancer.port}`],
  });
});
afterAll(async () => {
  await other?.stop();
  await tunnel.stop();
  await balancer.stop();
  await echo.close();
});

const linesWith = (log: readonly string[], text: string) => log.filter((line) => line.includes(text)).length;

test("two servers with one id: the agent keeps its first link, and takes the other server when that is gone", async () => {
  balancer.targets = [tunnel.server.agentPort];
  const agent = await tunnel.addAgent();
  const transfers = await RunningTransfers.start(tunnel);

  other = await startServer({ implementation: "hawser", workspace: tunnel.workspace, frontend, flags: serverFlags });
  balancer.targets = [other.agentPort];
  const { joinedCount } = balancer;
  const met = () => balancer.joinedCount >= joinedCount + 5;
  await until("the agent to meet the other server five times", met, agent.withinStart());
  expect(linesWith(agent.stderr, "linked to server")).toBe(1);
  expect(linesWith(agent.stderr, "link to server ended")).toBe(0);
  expect(await agent.metric("open_server_connections")).toBe(1);
  expect((await agent.get("/readyz")).status).toBe(200);
  await transfers.progress();
  await transfers.finish();

  await tunnel.server.stop();
  await until("the agent to link to the other server", () => linesWith(agent.stderr, "linked to server") === 2, {
    ...agent.withinStart(),
  });
  const session = await frontendSession({ server: other, workspace: tunnel.workspace });
  const connection = await dialGrpc(session, echo.address);
  connection.write("by the other");
  expect((await readBytes(connection, 12)).toString()).toBe("by the other");
  await session.close();
});

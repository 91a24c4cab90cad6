import { afterEach, beforeEach, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { type ProxyProcess, startAgent } from "../../support/processes.ts";
import { Scene } from "../../support/scene.ts";
import type { OpenConnection } from "../../support/transfers.ts";
import { until } from "../../support/until.ts";

let scene: Scene;
let echo: Endpoint;
let second: ProxyProcess;
beforeEach(async () => {
  scene = await Scene.start({ serverFlags: ["--proxy-strategies=default"] });
  echo = await echoEndpoint();
});
afterEach(async () => {
  await second.stop();
  await scene.tunnel.stop();
  await echo.close();
});

async function expectEcho({ duplex }: OpenConnection, text: string): Promise<void> {
  duplex.write(text);
  expect((await readBytes(duplex, text.length)).toString()).toBe(text);
}

test("two agents of one id count once; the first keeps its connections, the second takes over when it goes", async () => {
  const { server, workspace, agents } = scene.tunnel;
  const [first] = agents;
  if (first === undefined) throw new Error("an agent is needed");
  const before = await scene.connection(echo.address);
  const [implementation, agentId] = ["hawser", "agent-0"] as const;
  second = await startAgent({ implementation, workspace, agentPort: server.agentPort, agentId });
  await until("two agent streams", async () => (await server.metric("grpc_connections", connect)) === 2, waiting);
  expect(await server.metric("ready_backends", { proxy_strategy: "default" })).toBe(1);
  expect(await server.metric("ready_backend_connections")).toBe(1);
  await expectEcho(before, "the first connection of the first stream");
  const other = await scene.connection(echo.address);
  await expectEcho(other, "its second, and not the first of the second stream");
  expect(await first.metric("open_endpoint_connections")).toBe(2);

  scene.tunnel.killAgent(first);
  await until("one agent stream", async () => (await server.metric("grpc_connections", connect)) === 1, waiting);
  expect(await server.metric("ready_backends", { proxy_strategy: "default" })).toBe(1);
  await expectEcho(await scene.connection(echo.address), "through the second");
  expect(await second.metric("open_endpoint_connections")).toBe(1);
});

const connect = { service_method: "Connect" };
const waiting = { withinMs: 10_000, describe: () => scene.tunnel.describe() };

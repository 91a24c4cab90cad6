import { setTimeout } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { echoEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";

const endedWithinMs = 10_000;
/** While something moves that often, a time-out of 2 s is far away. */
const echoEveryMs = 100;

let scene: Scene;
afterEach(() => scene.stop());

const closed = async (code: string) =>
  (await scene.tunnel.server.metrics()).sum("hawser_server_connections_closed_total", { by: "server", code }) ?? 0;

async function open(flag: string) {
  scene = await Scene.start({ serverFlags: ["--mode=auto", flag] });
  const echo = await scene.endpoint(echoEndpoint());
  return Promise.all((["grpc", "connect"] as const).map((protocol) => scene.connection(echo.address, protocol)));
}

test("R-3.6: --connection-idle-timeout ends the connections that carry nothing, and only those", async () => {
  const connections = await open("--connection-idle-timeout=2s");
  const [busy, idle] = connections.map(({ duplex }) => duplex);
  if (busy === undefined || idle === undefined) throw new Error("two connections are needed");
  let idleEnded = false;
  idle
    .on("error", () => {})
    .once("end", () => {
      idleEnded = true;
    })
    .resume();
  const deadline = performance.now() + endedWithinMs;
  while (!idleEnded && performance.now() < deadline) {
    busy.write("alive");
    expect((await readBytes(busy, 5)).toString()).toBe("alive");
    await setTimeout(echoEveryMs);
  }
  expect(idleEnded).toBe(true);
  expect(await closed("idle")).toBe(1);
  expect(await scene.tunnel.server.metric("established_connections")).toBe(1);
  await scene.settle();
});

test("R-3.6: --connection-max-lifetime ends each connection at its age", async () => {
  await open("--connection-max-lifetime=1s");
  await until("both to end", async () => (await closed("expired")) === 2, { withinMs: endedWithinMs });
  const [agent] = scene.tunnel.agents;
  const none = async () => (await agent?.metric("open_endpoint_connections")) === 0;
  await until("both to end at the agent", none, { withinMs: endedWithinMs });
  await scene.settle();
});

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Endpoint, echoEndpoint, sourceEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { Scene } from "../support/scene.ts";
import { until } from "../support/until.ts";

let scene: Scene;
let echo: Endpoint;
beforeAll(async () => {
  scene = await Scene.start({ frontend: { protocol: "connect", transport: "uds" } });
  echo = await echoEndpoint();
});
afterEach(() => scene.settle());
afterAll(async () => {
  await scene.stop();
  await echo.close();
});

async function figure(half: "server" | "agent", name: string, labels: Readonly<Record<string, string>> = {}) {
  const [agent] = scene.tunnel.agents;
  const page = await (half === "agent" ? agent : scene.tunnel.server)?.metrics();
  return page?.sum(`hawser_${half}_${name}`, labels);
}

test("bytes are counted at both halves while their connection stands", async () => {
  const { duplex } = await scene.connection(echo.address);
  duplex.write("a request");
  await readBytes(duplex, 9);
  for (const half of ["server", "agent"] as const) {
    for (const direction of ["to_endpoint", "to_frontend"]) {
      expect([half, direction, await figure(half, "bytes_total", { direction })]).toEqual([half, direction, 9]);
    }
  }
});

test("a lane is in use for each connection, and others are spare, at both halves", async () => {
  await scene.connection(echo.address);
  await scene.connection(echo.address);
  expect(await figure("server", "agent_connections", { agent: "agent-0" })).toBe(2);
  for (const half of ["server", "agent"] as const) {
    expect(await figure(half, "lanes", { state: "in_use" })).toBe(2);
    const spare = async () => ((await figure(half, "lanes", { state: "spare" })) ?? 0) >= 4;
    await until("spare lanes", spare, { withinMs: 5_000 });
  }
});

test("a client that stops reading is counted as stalled at the server until it reads again or leaves", async () => {
  const source = await scene.endpoint(sourceEndpoint(1, 4 * 1024 * 1024));
  const { duplex } = await scene.connection(source.address);
  duplex.pause();
  const stalled = (count: number) => async () => (await figure("server", "stalled_connections")) === count;
  await until("one stalled connection", stalled(1), { withinMs: 10_000 });
  // How much of a window waits here and how much at the agent depends on when the reader stopped; one chunk waits here at least.
  expect(await figure("server", "held_bytes")).toBeGreaterThan(16 * 1024);
  duplex.resume();
  await until("no stalled connection", stalled(0), { withinMs: 10_000 });
});

test("an agent's state, round trip and last byte are told", async () => {
  expect(await figure("server", "agents", { state: "ready" })).toBe(1);
  const measured = async () => (await figure("server", "agent_round_trip_seconds", { agent: "agent-0" })) !== undefined;
  await until("a round trip", measured, { withinMs: 5_000 });
  expect(await figure("server", "agent_round_trip_max_seconds")).toBeLessThan(1);
  expect(await figure("server", "agent_silence_seconds", { agent: "agent-0" })).toBeLessThan(12);
});

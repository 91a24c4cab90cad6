import { afterEach, beforeEach, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";
import type { OpenConnection } from "../../support/transfers.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";
import { workerPid, workerReplaced } from "../../support/workers.ts";

let scene: Scene;
let echo: Endpoint;
beforeEach(async () => {
  scene = await Scene.start({ agentCount: 2, serverFlags: ["--workers=2"] });
  echo = await echoEndpoint();
});
afterEach(async () => {
  await scene.discard();
  await echo.close();
});

async function echoes({ duplex }: OpenConnection): Promise<boolean> {
  try {
    duplex.write("hello");
    return String(await readBytes(duplex, 5)) === "hello";
  } catch {
    return false;
  }
}

async function open(count: number): Promise<readonly OpenConnection[]> {
  const opened: OpenConnection[] = [];
  for (let index = 0; index < count; index++) opened.push(await scene.connection(echo.address));
  return opened;
}

test("a worker is killed: connections on the other go on, and it comes back, is linked to and carries again", async () => {
  const { server, agents } = scene.tunnel;
  const connections = await open(8);
  expect(await Promise.all(connections.map(echoes))).not.toContain(false);
  const bytes = async () => (await server.metrics()).sum("hawser_server_bytes_total") ?? 0;
  const bytesBefore = await bytes();
  const pid = workerPid(server, 1);
  process.kill(pid, "SIGKILL");

  await workerReplaced(server, 1, pid);
  const surviving = (await Promise.all(connections.map(echoes))).filter(Boolean).length;
  expect(surviving).toBe(4);
  // What the dead one had counted is not lost.
  expect(await bytes()).toBe(bytesBefore + 2 * 5 * surviving);
  await scene.tunnel.serverCounts(agents.length);
  for (const agent of agents) {
    expect(await agent.metric("open_server_connections")).toBe(2);
    expect(await agent.metric("known_server_count")).toBe(2);
  }
  const page = await server.metrics();
  expect(page.sum("hawser_server_worker_deaths_total")).toBe(1);
  expect(page.sum("hawser_server_workers")).toBe(2);
  expect(server.stderr.filter((line) => line.includes('"worker died'))).toEqual([
    expect.stringMatching(new RegExp(`"level":"error".*"worker":1,"pid":${pid},"code":null,"signal":"SIGKILL"`)),
  ]);
  expect(await Promise.all((await open(4)).map(echoes))).toEqual([true, true, true, true]);
});

test("a worker that hangs: pages answer within seconds, unready and not well, and it does not keep a stop waiting for ever", async () => {
  const { server } = scene.tunnel;
  const connections = await open(4);
  expect(await Promise.all(connections.map(echoes))).not.toContain(false);
  const established = () => server.metric("established_connections");
  expect(await established()).toBe(4);
  process.kill(workerPid(server, 2), "SIGSTOP");
  const pages = Promise.all([server.get("/healthz"), server.get("/readyz"), server.metrics()]);
  const [health, readiness, page] = await within(20_000, "the pages", pages);
  expect(health).toEqual({ status: 500, body: "no answer from worker 2\n" });
  expect(readiness.status).toBe(500);
  expect(page.sum("konnectivity_network_proxy_server_established_connections")).toBe(2);
  expect(page.sum("konnectivity_network_proxy_server_dial_duration_seconds_count")).toBe(4);

  server.kill("SIGTERM");
  await until("the end of the drain to begin", () => server.stderr.some((line) => line.includes('"shutting down"')), {
    withinMs: 10_000,
  });
  server.kill("SIGTERM");
  expect(await within(10_000, "the server's exit", server.exited)).toEqual({ code: 1, signal: null });
});

test("a worker that dies again and again ends the program", async () => {
  const { server } = scene.tunnel;
  let pid = workerPid(server, 2);
  for (let death = 1; death < 5; death++) {
    process.kill(pid, "SIGKILL");
    pid = await workerReplaced(server, 2, pid);
  }
  process.kill(pid, "SIGKILL");
  expect(await within(10_000, "the server's exit", server.exited)).toEqual({ code: 1, signal: null });
  expect(server.stderr.find((line) => line.includes('"fatal"'))).toContain(
    "worker 2 died 5 times in a row within 10 s of its start, at last by SIGKILL",
  );
});

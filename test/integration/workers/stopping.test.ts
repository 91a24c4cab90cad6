import { existsSync, statSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";
import { isAlive, workerPids } from "../../support/workers.ts";

let scene: Scene;
let echo: Endpoint;
afterEach(async () => {
  await scene.discard();
  await echo.close();
});

/** Resolves to the socket's path. */
async function start(grace: string): Promise<string> {
  scene = await Scene.start({ serverFlags: ["--workers=2", `--graceful-shutdown-timeout=${grace}`] });
  echo = await echoEndpoint();
  const address = scene.tunnel.server.frontend;
  if (address.transport !== "uds") throw new Error("not over UDS");
  return address.path;
}

async function openEach() {
  const connections = [await scene.connection(echo.address), await scene.connection(echo.address)];
  for (const { duplex } of connections) {
    duplex.write("hello");
    expect(String(await readBytes(duplex, 5))).toBe("hello");
  }
  return connections;
}

const removed = (path: string) => until("the socket's file to go", () => !existsSync(path), { withinMs: 5_000 });

const exit = () => within(10_000, "the server's exit", scene.tunnel.server.exited);

test("SIGTERM, to the workers too: unready at once, connections of each go on until they end, exit 0", async () => {
  const path = await start("1m");
  const { server } = scene.tunnel;
  expect(statSync(path).mode & 0o777).toBe(0o770);
  const connections = await openEach();
  // A supervisor may send it to the whole group.
  for (const pid of [...workerPids(server).values(), server.pid]) process.kill(pid, "SIGTERM");
  await removed(path);
  expect((await server.get("/readyz")).status).toBe(500);
  expect((await server.get("/healthz")).status).toBe(200);
  for (const { duplex } of connections) {
    duplex.write("still");
    expect(String(await readBytes(duplex, 5))).toBe("still");
  }
  for (const { close } of connections) await close();
  expect(await exit()).toEqual({ code: 0, signal: null });
  expect(server.stderr.filter((line) => line.includes('"worker died'))).toEqual([]);
});

test("a second SIGTERM: exit 1 at once, with connections that would have lasted", async () => {
  const path = await start("1h");
  await openEach();
  const { server } = scene.tunnel;
  server.kill("SIGTERM");
  await removed(path);
  server.kill("SIGTERM");
  expect(await within(3_000, "the server's exit", server.exited)).toEqual({ code: 1, signal: null });
});

test("connections that outlive the grace are cut, exit 0", async () => {
  await start("1s");
  await openEach();
  scene.tunnel.server.kill("SIGTERM");
  expect(await exit()).toEqual({ code: 0, signal: null });
});

test("a primary that is killed takes its workers along", async () => {
  await start("1m");
  const pids = [...workerPids(scene.tunnel.server).values()];
  expect(pids.map(isAlive)).toEqual([true, true]);
  await openEach();
  scene.tunnel.server.kill("SIGKILL");
  await until("the end of the workers", () => !pids.some(isAlive), { withinMs: 10_000 });
});

import { expect, test } from "vitest";
import { type Endpoint, neverReadingEndpoint } from "../../support/endpoints.ts";
import type { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";
import { useScene } from "../../support/use-scene.ts";

let scene: Scene;
useScene({ serverFlags: ["--mode=auto"] }, (started) => {
  scene = started;
});

test("R-3.4: a client that leaves while its endpoint reads nothing frees both halves within seconds", async () => {
  const endpoint: Endpoint = await scene.endpoint(neverReadingEndpoint());
  const connections = await Promise.all(Array.from({ length: 5 }, () => scene.dialGrpc(endpoint.address)));
  for (const connection of connections) connection.write(Buffer.alloc(32 * 1024 * 1024));
  await until("the windows to be full", () => connections.every((connection) => connection.writableNeedDrain), {
    withinMs: 5_000,
  });
  for (const connection of connections) connection.destroy();
  await scene.idle();
  await expect.poll(() => endpoint.openCount, { timeout: 5_000 }).toBe(0);
});

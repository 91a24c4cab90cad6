import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { dialGrpc, readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";

let scene: Scene;
let echo: Endpoint;
beforeAll(async () => {
  scene = await Scene.start();
  echo = await echoEndpoint();
});
afterEach(() => scene.settle());
afterAll(async () => {
  await scene.stop();
  await echo.close();
});

test("200 Proxy streams on one client connection each carry their own bytes", async () => {
  const session = await scene.session();
  const connections = await Promise.all(Array.from({ length: 200 }, () => dialGrpc(session, echo.address)));
  const echoed = await Promise.all(
    connections.map(async (connection, index) => {
      const text = `this is connection ${index}`;
      connection.write(text);
      return (await readBytes(connection, text.length)).toString() === text;
    }),
  );
  expect(echoed).not.toContain(false);
  expect(new Set(connections.map(({ connectId }) => connectId)).size).toBe(200);
  expect(await scene.tunnel.server.metric("established_connections")).toBe(200);
});

test("1,000 streams one after the other on one client connection, each half-closed, leave it usable", async () => {
  const session = await scene.session();
  for (let round = 0; round < 50; round++) {
    const connections = await Promise.all(Array.from({ length: 20 }, () => dialGrpc(session, echo.address)));
    for (const { stream } of connections) await stream.finish();
  }
  const connection = await dialGrpc(session, echo.address);
  connection.write("usable");
  expect((await readBytes(connection, 6)).toString()).toBe("usable");
});

test("a client that vanishes with 100 connections open leaves nothing behind", async () => {
  const session = await scene.session();
  await Promise.all(Array.from({ length: 100 }, () => dialGrpc(session, echo.address)));
  expect(await scene.tunnel.server.metric("established_connections")).toBe(100);
  session.socket.destroy();
  await scene.idle();
  await expect.poll(() => echo.openCount, { timeout: 5_000 }).toBe(0);
});

import { afterEach, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { readAll, readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";

/** Silence after which a server gives an agent up, the ping that comes before it, and time for a busy machine. */
const givenUpWithinMs = 20_000;

let scene: Scene;
let echo: Endpoint;
afterEach(async () => {
  await scene.tunnel.stop();
  await echo.close();
});

test("an agent that stands still: a dial ends at its deadline, then the agent is given up, and it links again when it moves", async () => {
  scene = await Scene.start({ serverFlags: ["--mode=auto", "--backend-dial-timeout=1s"] });
  echo = await echoEndpoint();
  const { server, agents } = scene.tunnel;
  const [agent] = agents;
  if (agent === undefined) throw new Error("an agent is needed");
  const { duplex } = await scene.connection(echo.address, "connect");
  const ended = new Promise((resolve) => duplex.resume().once("end", resolve).once("close", resolve));
  agent.kill("SIGSTOP");

  const socket = await scene.socket();
  socket.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
  expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 504 Gateway Timeout\r\n/);
  expect(await server.metric("pending_backend_dials")).toBe(0);
  expect(await server.metric("dial_failure_count", { reason: "backend_dial_timeout" })).toBe(1);

  const describe = () => scene.tunnel.describe();
  const counts = async () => (await server.metric("ready_backends", { proxy_strategy: "default" })) === 0;
  await until("the agent to be given up", counts, { withinMs: givenUpWithinMs, describe });
  await ended;
  const after = await scene.socket();
  after.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
  expect(await readAll(after)).toContain("No agent available");

  agent.kill("SIGCONT");
  await scene.tunnel.serverCounts(1);
  const again = (await scene.connection(echo.address, "connect")).duplex;
  again.write("moves");
  expect((await readBytes(again, 5)).toString()).toBe("moves");
});

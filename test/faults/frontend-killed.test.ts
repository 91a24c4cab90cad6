import { once } from "node:events";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import type { FrontendAddress } from "../../cli/client/frontend-address.ts";
import { echoEndpoint, serve } from "../support/endpoints.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import type { Scene } from "../support/scene.ts";
import { seededBytes } from "../support/seeded-bytes.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";
import { links, protocols, useFaultScene } from "./fault-scene.ts";

const closedWithinMs = 5_000;
const openWithinMs = 20_000;
const idleCount = 20;
const stalledCount = 5;
const gradedCount = 32;
/** More than a client takes in that does not read, and less than its kernel does. */
const unreadBytes = 128 * 1024;

/** As the client takes it: with files in the place of texts. */
function frontendOf({ tunnel }: Scene): FrontendAddress {
  const { frontend } = tunnel.server;
  if (frontend.transport === "uds") return { kind: "uds", path: frontend.path };
  const { frontendCa, client } = tunnel.workspace.certificates;
  return { kind: "tcp", host: frontend.host, port: frontend.port, tls: { ca: frontendCa, ...client } };
}

/** A client process whose connections all stand. */
async function openClient(scene: Scene, plans: readonly string[], onMove = () => {}): Promise<ManagedProcess> {
  const main = join(repositoryRoot, "dist", "test", "faults", "client-main.js");
  const client = new ManagedProcess("client", {
    file: process.execPath,
    args: [main, JSON.stringify(frontendOf(scene)), ...plans],
  });
  const open = new Promise<void>((resolve) => {
    createInterface({ input: client.stdout }).on("line", (line) => (line === "open" ? resolve() : onMove()));
  });
  const gone = once(client.gone, "abort").then(() => client.gone.throwIfAborted());
  try {
    await within(openWithinMs, "the client's connections", Promise.race([open, gone]));
    return client;
  } catch (error) {
    await client.stop();
    throw error;
  }
}

/** Agents are asked, for an endpoint that neither reads nor writes does not see a reset. */
async function killAndSeeClosed(scene: Scene, client: ManagedProcess): Promise<void> {
  const killedAt = performance.now();
  client.kill("SIGKILL");
  const closed = async () => {
    const counts = await Promise.all(scene.tunnel.agents.map((agent) => agent.metric("open_endpoint_connections")));
    return counts.every((count) => count === 0);
  };
  const describe = () => scene.tunnel.describe();
  await until("all endpoint connections to close", closed, { withinMs: closedWithinMs, describe });
  expect(performance.now() - killedAt).toBeLessThan(closedWithinMs);
  await client.exited;
}

type Behaviour = (socket: Socket, moved: () => void) => Promise<unknown>;

const sendsWithoutEnd: Behaviour = async (socket, moved) => {
  for (const chunk of seededBytes(1, Number.POSITIVE_INFINITY)) {
    moved();
    if (!socket.write(chunk)) await once(socket, "drain");
  }
};

/**
 * Opens connections that move no byte any more, to endpoints that do not read, and kills their client. Of all but `moving` ones
 * the server itself has bytes that go no further.
 */
async function standStillAndDie(
  scene: Scene,
  plan: string,
  behaviour: Behaviour,
  { count = stalledCount, moving = 0 } = {},
) {
  let moves = 0;
  const moved = () => {
    moves += 1;
  };
  const deaf = await scene.endpoint(serve((socket) => behaviour(socket.pause(), moved)));
  const [protocol, behaves] = plan.split(" ");
  const client = await openClient(scene, [`${protocol},${deaf.address},${behaves},${count}`], moved);
  await standsStill(() => moves);
  const { server } = scene.tunnel;
  const stalled = async () => (await server.metrics()).sum("hawser_server_stalled_connections") ?? 0;
  await until("the server to hold what goes no further", async () => (await stalled()) >= count - moving, {
    withinMs: openWithinMs,
    describe: () => scene.tunnel.describe(),
  });
  expect(deaf.openCount).toBe(count);
  await killAndSeeClosed(scene, client);
}

describe.each(links)("R-3.4: a client is killed; by $link", ({ link, agentFlags }) => {
  let scene: Scene;
  useFaultScene({ agentFlags }, (started) => {
    scene = started;
  });

  test.each(protocols)("its idle connections by %s are closed at their endpoints within 5 s", async (protocol) => {
    const echo = await scene.endpoint(echoEndpoint());
    const client = await openClient(scene, [`${protocol},${echo.address},idle,${idleCount}`]);
    expect(echo.openCount).toBe(idleCount);
    await killAndSeeClosed(scene, client);
    // What the agent has closed comes to this process later.
    await expect.poll(() => echo.openCount, { timeout: closedWithinMs }).toBe(0);
  });

  // The reference's link does not let a connection stand still for as long as that.
  if (link !== "lanes") return;
  test.each(protocols)(
    "its connections by %s that nobody reads at either end are closed at their endpoints within 5 s",
    (protocol) => standStillAndDie(scene, `${protocol} stalled`, sendsWithoutEnd),
  );

  test.each(protocols)(
    "its connections by %s whose endpoints alone do not read are closed there within 5 s",
    (protocol) => standStillAndDie(scene, `${protocol} writing`, async () => {}),
  );

  // So that of some the last byte has just left the server, and its reset waits at the agent.
  test("its connections by grpc that stand still with any number of bytes on their way are closed within 5 s", () =>
    standStillAndDie(scene, "grpc graded", async () => {}, { count: gradedCount, moving: gradedCount }));
});

// A client that had read all is not seen to die: its kernel still has bytes to send, and keeps the connection up.
describe("R-3.4: a client by connect over TCP is killed; by lanes", () => {
  let scene: Scene;
  useFaultScene({ frontend: { protocol: "connect", transport: "tcp" } }, (started) => {
    scene = started;
  });

  test("its connections that nobody reads at either end are closed at their endpoints within 5 s", () =>
    standStillAndDie(scene, "connect stalled", sendsWithoutEnd));

  test("its connections whose server waits for nothing but their endpoints are closed there within 5 s", () =>
    standStillAndDie(scene, "connect stalled", async (socket) => socket.write(Buffer.alloc(unreadBytes))));
});

/** Nothing tells that a count will not grow any more: it is taken for that when it has not for so many looks. */
async function standsStill(count: () => number): Promise<void> {
  let last = count();
  let looks = 0;
  const same = () => {
    looks = count() === last ? looks + 1 : 0;
    last = count();
    return looks === 25;
  };
  await until("everything to stand still", same, { withinMs: openWithinMs });
}

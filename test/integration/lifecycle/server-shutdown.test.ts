import { existsSync, statSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { dialGrpc, readBytes } from "../../support/frontend-client.ts";
import { startServer } from "../../support/processes.ts";
import { Scene } from "../../support/scene.ts";
import type { FrontendProtocol, OpenConnection } from "../../support/transfers.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";

let scene: Scene;
let echo: Endpoint;
afterEach(async () => {
  await scene.tunnel.stop();
  await echo.close();
});

async function start(protocol: FrontendProtocol, grace: string): Promise<string> {
  const frontend = { protocol, transport: "uds" } as const;
  scene = await Scene.start({ frontend, serverFlags: [`--graceful-shutdown-timeout=${grace}`] });
  echo = await echoEndpoint();
  const address = scene.tunnel.server.frontend;
  if (address.transport !== "uds") throw new Error("not over UDS");
  return address.path;
}

const draining = (path: string) => until("the socket file to go", () => !existsSync(path), { withinMs: 5_000 });

async function openEcho(): Promise<OpenConnection> {
  const connection = await scene.connection(echo.address);
  connection.duplex.write("hello");
  expect((await readBytes(connection.duplex, 5)).toString()).toBe("hello");
  return connection;
}

describe.each(["grpc", "connect"] as const)("by %s", (protocol) => {
  test("SIGTERM: running transfers end intact, new dials are refused, exit 0, no socket file left", async () => {
    const path = await start(protocol, "1m");
    const { server } = scene.tunnel;
    expect(statSync(path).mode & 0o777).toBe(0o770);
    await scene.startTransfers();
    server.kill("SIGTERM");
    await draining(path);
    await expect(scene.socket()).rejects.toThrow(/ENOENT|ECONNREFUSED/);
    await scene.finishTransfers();
    expect(await within(5_000, "the server's exit after the last connection", server.exited)).toEqual({
      code: 0,
      signal: null,
    });
    expect(existsSync(path)).toBe(false);
  });

  test("SIGTERM with a grace of 0: connections end at once, exit 0", async () => {
    await start(protocol, "0s");
    const { duplex } = await openEcho();
    duplex.resume();
    const ended = new Promise((resolve) => duplex.once("end", resolve).once("close", resolve));
    scene.tunnel.server.kill("SIGTERM");
    await within(5_000, "the connection's end", ended);
    // It may give answers on their way 5 s.
    expect(await within(10_000, "the server's exit", scene.tunnel.server.exited)).toEqual({ code: 0, signal: null });
  });

  test("a second SIGTERM: exit 1 at once, with a connection that would have lasted", async () => {
    const path = await start(protocol, "1h");
    await openEcho();
    const { server } = scene.tunnel;
    server.kill("SIGTERM");
    await draining(path);
    server.kill("SIGTERM");
    expect(await within(2_000, "the server's exit", server.exited)).toEqual({ code: 1, signal: null });
    expect(existsSync(path)).toBe(false);
  });

  test("SIGTERM: a connection that outlives the grace is cut, exit 0", async () => {
    await start(protocol, "1s");
    await openEcho();
    scene.tunnel.server.kill("SIGTERM");
    expect(await within(8_000, "the server's exit", scene.tunnel.server.exited)).toEqual({ code: 0, signal: null });
  });
});

test("a dial on a gRPC connection that was open before SIGTERM is refused, and the connection beside it goes on", async () => {
  const path = await start("grpc", "10s");
  const session = await scene.session();
  const connection = await dialGrpc(session, echo.address);
  scene.tunnel.server.kill("SIGTERM");
  await draining(path);
  await expect(dialGrpc(session, echo.address)).rejects.toThrow();
  connection.write("still here");
  expect((await readBytes(connection, 10)).toString()).toBe("still here");
});

test("a server that dies and comes back: its agent finds it again, and dials succeed", async () => {
  await start("grpc", "10s");
  const { server, agents, workspace, kind } = scene.tunnel;
  await openEcho();
  server.kill("SIGKILL");
  await server.exited;
  await expect.poll(() => echo.openCount, { timeout: 5_000 }).toBe(0);
  const again = await startServer({
    implementation: "hawser",
    workspace,
    frontend: kind,
    flags: [`--agent-port=${server.agentPort}`],
  });
  try {
    const linked = async () => (await again.metric("ready_backends")) === agents.length;
    await until("the agent to link again", linked, { withinMs: 10_000, describe: () => scene.tunnel.describe() });
    await openEcho();
  } finally {
    await again.stop();
  }
});

import { writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { GrpcCode } from "../../../shared/grpc/status.ts";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import {
  dialGrpc,
  frontendSession,
  frontendSocket,
  type GrpcConnection,
  readBytes,
} from "../../support/frontend-client.ts";
import { Installation } from "../../support/installation.ts";
import { type ProxyServer, startAgent } from "../../support/processes.ts";
import type { RawSession } from "../../support/raw-grpc.ts";
import { accepted, TokenServer } from "../../support/token-server.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";

const agentCount = 2;
const connectionCount = 8;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

describe.each([
  { link: "lanes", flag: "--link-protocol=auto" },
  { link: "the reference's link", flag: "--link-protocol=konnectivity" },
])("R-6.2: SIGTERM to one of two servers whose agents are Hawser's, on $link", ({ flag }) => {
  let installation: Installation;
  let leaving: ProxyServer;
  let staying: ProxyServer;
  let echo: Endpoint;
  let session: RawSession;
  let connections: GrpcConnection[];

  /** All agents are linked to the server that will leave, which carries connections by each of them. */
  async function start(grace: string): Promise<void> {
    installation = await Installation.start({ serverCount: 1 }, [`--graceful-shutdown-timeout=${grace}`]);
    closers.push(() => installation.stop());
    for (let count = 0; count < agentCount; count++) await installation.addAgent(flag);
    [leaving] = installation.servers as [ProxyServer];
    echo = await echoEndpoint();
    closers.push(() => echo.close());
    session = await frontendSession({ server: leaving, workspace: installation.workspace });
    closers.push(() => session.close());
    connections = [];
    for (let count = 0; count < connectionCount; count++) connections.push(await dialGrpc(session, echo.address));
    await allEcho("hello");
    staying = await installation.addServer();
  }

  async function allEcho(text: string): Promise<void> {
    for (const connection of connections) {
      connection.write(text);
      expect((await readBytes(connection, text.length)).toString()).toBe(text);
    }
  }

  const linkedToStaying = () =>
    until(
      "the agents at the other server",
      async () => (await staying.metric("ready_backend_connections")) === agentCount,
      {
        withinMs: 10_000,
        describe: () => [...installation.agents, leaving, staying].map((child) => child.describe()).join("\n"),
      },
    );

  test("links them to the other before it is gone; its connections go on, and it exits 0 after the last", async () => {
    await start("1h");
    leaving.kill("SIGTERM");
    await linkedToStaying();
    const { workspace } = installation;
    await expect(frontendSocket({ server: leaving, workspace })).rejects.toThrow("ECONNREFUSED");
    await allEcho("still here");
    expect(echo.openCount).toBe(connectionCount);
    const elsewhere = await frontendSession({ server: staying, workspace });
    closers.push(() => elsewhere.close());
    connections.push(await dialGrpc(elsewhere, echo.address));
    await allEcho("by both");

    leaving.gone.throwIfAborted();
    await session.close();
    expect(await within(5_000, "the server's exit", leaving.exited)).toEqual({ code: 0, signal: null });
    connections.splice(0, connectionCount);
    await allEcho("and on");
    for (const agent of installation.agents) expect(await agent.metric("open_server_connections")).toBe(1);
  });

  test("cuts what outlives the grace, and exits 0; its agents are at the other", async () => {
    await start("2s");
    const killedAt = performance.now();
    leaving.kill("SIGTERM");
    await linkedToStaying();
    await allEcho("still here");
    expect(await within(10_000, "the server's exit", leaving.exited)).toEqual({ code: 0, signal: null });
    expect(performance.now() - killedAt).toBeGreaterThan(2_000);
    await until("its connections to end", () => echo.openCount === 0, { withinMs: 5_000 });
    await linkedToStaying();
  });
});

test("R-6.2: an agent whose token is under review when its server begins to drain is sent elsewhere", async () => {
  const scene = await TokenServer.start(["--graceful-shutdown-timeout=1h"]);
  closers.push(() => scene.stop());
  const { server, workspace } = scene;
  for (const token of ["first", "late"]) scene.tokens.set(token, accepted());
  const tokenFile = workspace.path("agent-token");
  writeFileSync(tokenFile, "first");
  const flags = ["--agent-cert=", "--agent-key=", `--service-account-token-path=${tokenFile}`];
  const { agentPort } = server;
  const agent = await startAgent({ implementation: "hawser", workspace, agentPort, agentId: "first", flags });
  closers.push(() => agent.stop());
  const echo = await echoEndpoint();
  closers.push(() => echo.close());
  const session = await frontendSession(scene);
  closers.push(() => session.close());
  // For whose sake the server stays.
  await dialGrpc(session, echo.address);

  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const asked = new Promise<void>((resolve) => {
    scene.api.script = async (call) => {
      resolve();
      await answered;
      return scene.review(call);
    };
  });
  const { stream } = await scene.connect("late", "Bearer late");
  await within(5_000, "the review", asked);
  server.kill("SIGTERM");
  const unready = async () => (await server.get("/readyz")).status !== 200;
  await until("the server to drain", unready, { withinMs: 5_000, describe: () => server.describe() });
  answer();
  expect(await within(5_000, "the agent's refusal", stream.ended)).toMatchObject({
    status: GrpcCode.UNAVAILABLE,
    message: expect.stringContaining("shutting down"),
  });
  server.gone.throwIfAborted();
});

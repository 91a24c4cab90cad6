import { afterEach, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import type { ProxyProcess } from "../../support/processes.ts";
import { Scene } from "../../support/scene.ts";
import type { OpenConnection } from "../../support/transfers.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";

let scene: Scene;
let echo: Endpoint;
afterEach(async () => {
  await scene.tunnel.stop();
  await echo.close();
});

async function start(agentCount: number, linkProtocol: string): Promise<void> {
  scene = await Scene.start({
    agentCount,
    serverFlags: ["--proxy-strategies=default"],
    agentFlags: [`--link-protocol=${linkProtocol}`],
  });
  echo = await echoEndpoint();
}

async function expectEcho({ duplex }: OpenConnection, text: string): Promise<void> {
  duplex.write(text);
  expect((await readBytes(duplex, text.length)).toString()).toBe(text);
}

const openAt = (agent: ProxyProcess) => agent.metric("open_endpoint_connections");

/** SIGTERM; resolves when the server knows that the agent drains. */
async function drain(agent: ProxyProcess): Promise<void> {
  const { server } = scene.tunnel;
  const known = () => server.stderr.filter((line) => line.includes("agent drains")).length;
  const before = known();
  agent.kill("SIGTERM");
  await until("the server to hear of it", () => known() > before, {
    withinMs: 5_000,
    describe: () => server.describe(),
  });
}

describe.each(["auto", "konnectivity"])("R-6.1, R-6.4: on a link of --link-protocol=%s", (linkProtocol) => {
  test("SIGTERM on one of two agents: its connections live on, new dials go to the other, and it exits 0 when it is idle", async () => {
    await start(2, linkProtocol);
    const [leaving, staying] = scene.tunnel.agents;
    if (leaving === undefined || staying === undefined) throw new Error("two agents are needed");
    const connections: OpenConnection[] = [];
    while ((await openAt(leaving)) === 0) connections.push(await scene.connection(echo.address));
    await drain(leaving);
    const before = await openAt(leaving);
    for (let count = 0; count < 10; count++) connections.push(await scene.connection(echo.address));
    expect(await openAt(leaving)).toBe(before);
    expect((await leaving.get("/readyz")).status).toBe(503);
    for (const connection of connections) await expectEcho(connection, "goes on");

    for (const connection of connections) await connection.close();
    scene.tunnel.agents.splice(scene.tunnel.agents.indexOf(leaving), 1);
    expect(await within(20_000, "the agent's exit", leaving.exited)).toEqual({ code: 0, signal: null });
    await scene.settle();
  });

  test("the only agent left is used although it drains; a second SIGTERM ends it at once", async () => {
    await start(1, linkProtocol);
    const [agent] = scene.tunnel.agents;
    if (agent === undefined) throw new Error("an agent is needed");
    await drain(agent);
    const connection = await scene.connection(echo.address);
    await expectEcho(connection, "still in use");
    const ended = new Promise((resolve) => connection.duplex.resume().once("close", resolve).once("end", resolve));
    agent.kill("SIGTERM");
    expect(await within(3_000, "the agent's exit", agent.exited)).toEqual({ code: 0, signal: null });
    await within(1_000, "the connection's end", ended);
  });

  test("a connection that does not end keeps an agent for 25 s, and no longer", async () => {
    await start(1, linkProtocol);
    const [agent] = scene.tunnel.agents;
    if (agent === undefined) throw new Error("an agent is needed");
    const connection = await scene.connection(echo.address);
    const ended = new Promise((resolve) => connection.duplex.once("close", resolve).once("end", resolve));
    const begun = performance.now();
    await drain(agent);
    const exit = await within(29_000, "the agent's exit", agent.exited);
    expect([exit, performance.now() - begun > 24_000]).toEqual([{ code: 0, signal: null }, true]);
    connection.duplex.resume();
    await within(1_000, "the connection's end", ended);
  });
});

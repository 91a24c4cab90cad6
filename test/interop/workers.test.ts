import { afterEach, beforeEach, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { openConnection } from "../support/transfers.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { workerPid, workerReplaced } from "../support/workers.ts";

let tunnel: Tunnel;
let echo: Endpoint;
beforeEach(async () => {
  echo = await echoEndpoint();
  tunnel = await Tunnel.start({
    server: "hawser",
    agent: "reference-v0.36.0",
    frontend: { protocol: "grpc", transport: "uds" },
    agentCount: 2,
    serverFlags: ["--workers=2"],
  });
});
afterEach(async () => {
  await tunnel.stop();
  await echo.close();
});

async function carriesThroughEach(): Promise<void> {
  for (let dial = 0; dial < 4; dial++) {
    const { duplex, close } = await openConnection(tunnel, echo.address);
    duplex.write("hello");
    expect(String(await readBytes(duplex, 5))).toBe("hello");
    await close();
  }
}

test("agents of the reference link to each worker, and to the one that takes a dead one's place", async () => {
  const { server, agents } = tunnel;
  const linked = async () =>
    (await server.metrics()).sum("hawser_server_agents", { state: "ready" }) === 2 * agents.length;
  const linkedEach = () => until("two links of each agent", linked, server.withinStart());
  await linkedEach();
  await carriesThroughEach();
  const pid = workerPid(server, 1);
  process.kill(pid, "SIGKILL");
  await workerReplaced(server, 1, pid);
  await tunnel.serverCounts(agents.length);
  await linkedEach();
  await carriesThroughEach();
});

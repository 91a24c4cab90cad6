import { expect, it } from "vitest";
import { here, type ProxyServer, startAgent, startServer } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";
import { OwnFiles } from "./own-files.ts";

const name = "servers.test";
const addresses = ["127.0.0.1", "127.0.0.2"] as const;
/** As in README and chart: where leases do not tell how many servers there are, each of them says so. */
const serverFlags = [`--server-count=${addresses.length}`];

it("an agent meets every server of a name whose addresses come in the same order each time", async () => {
  const workspace = new Workspace([name]);
  const hosts = addresses.map((address) => `${address} ${name}`);
  const files = new OwnFiles(workspace.path("root"), hosts);
  // Or glibc takes the first line alone.
  files.write("/etc/host.conf", "multi on\n");
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const servers: ProxyServer[] = [];
    for (const host of addresses) {
      const agentPort = servers[0]?.agentPort;
      const server = await startServer({
        implementation: "hawser",
        place: { ...here, host },
        workspace,
        frontend: { protocol: "grpc", transport: "uds" },
        socketName: `${host}.sock`,
        flags: serverFlags,
        ...(agentPort !== undefined && { agentPort }),
      });
      servers.push(server);
      stops.push(() => server.stop());
    }
    const agentPort = servers[0]?.agentPort ?? 0;
    const agent = await startAgent({
      implementation: "hawser",
      place: { ...here, command: (command) => files.command(command) },
      workspace,
      agentHost: name,
      agentPort,
      agentId: "agent-0",
    });
    stops.push(() => agent.stop());
    const links = () => agent.metric("open_server_connections");
    await until("a link to each server", async () => (await links()) === addresses.length, agent.withinStart());
    for (const server of servers) expect((await server.get("/readyz")).status).toBe(200);
  } finally {
    await Promise.all(stops.map((stop) => stop()));
    workspace.remove();
  }
});

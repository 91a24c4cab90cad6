import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";
import { workerPids } from "../../support/workers.ts";

const workers = 3;
const protocols = ["grpc", "connect"] as const;
/** In turn by both protocols: enough that each worker gets some of each. */
const dials = 2 * protocols.length * workers;

describe.each([
  ["lanes", "auto"],
  ["packets", "konnectivity"],
])("three workers, linked by %s", (_name, linkProtocol) => {
  describe.each(["uds", "tcp"] as const)("with both frontends over %s", (transport) => {
    let scene: Scene;
    let echo: Endpoint;
    beforeAll(async () => {
      const agentFlags = [`--link-protocol=${linkProtocol}`];
      scene = await Scene.start({
        frontend: { protocol: "grpc", transport },
        agentCount: 2,
        serverFlags: [`--workers=${workers}`, "--mode=auto", "--v=5"],
        agentFlags,
      });
      echo = await echoEndpoint();
    });
    afterAll(async () => {
      await scene.discard();
      await echo.close();
    });

    test("both agents link to each worker, and each worker carries dials", async () => {
      const { server, agents } = scene.tunnel;
      for (const agent of agents) {
        expect(await agent.metric("open_server_connections")).toBe(workers);
        expect(await agent.metric("known_server_count")).toBe(workers);
      }
      for (let dial = 0; dial < dials; dial++) {
        const { duplex } = await scene.connection(echo.address, protocols[dial % protocols.length]);
        duplex.write("hello");
        expect(String(await readBytes(duplex, 5))).toBe("hello");
      }
      expect(carriers(server.stderr)).toEqual([...workerPids(server).keys()].sort());
      expect(carriers(server.stderr)).toHaveLength(workers);
    });

    test("the page has the figures of all workers together, and those of each process", async () => {
      const page = await scene.tunnel.server.metrics();
      const server = "konnectivity_network_proxy_server";
      expect(page.sum(`${server}_established_connections`)).toBe(dials);
      expect(page.sum(`${server}_dial_duration_seconds_count`)).toBe(dials);
      expect(page.sum(`${server}_dial_duration_seconds_bucket`, { le: "+Inf" })).toBe(dials);
      expect(page.sum(`${server}_ready_backends`, { proxy_strategy: "default" })).toBe(2);
      expect(page.sum("hawser_server_agents", { state: "ready" })).toBe(2 * workers);
      expect(page.sum("hawser_server_workers")).toBe(workers);
      expect(page.sum("hawser_server_worker_deaths_total")).toBe(0);
      expect(page.sum("hawser_build_info")).toBe(1);
      const processes = page.samples.filter(({ name }) => name === "process_start_time_seconds");
      expect(processes.map(({ labels }) => labels.worker)).toEqual(["primary", "1", "2", "3"]);
    });

    test("it is ready, and unready without agents", async () => {
      const { server, agents } = scene.tunnel;
      expect(await server.get("/readyz")).toEqual({ status: 200, body: "ok" });
      for (const agent of [...agents]) scene.tunnel.killAgent(agent);
      const unready = async () => (await server.get("/readyz")).status === 500;
      await until("500 on /readyz", unready, { withinMs: 10_000, describe: () => server.describe() });
      expect(await server.get("/healthz")).toEqual({ status: 200, body: "ok" });
    });
  });
});

/** The workers whose log tells of a connection. */
function carriers(lines: readonly string[]): readonly number[] {
  const ofConnections = lines.filter((line) => line.includes('"dial"'));
  return [...new Set(ofConnections.map((line) => (JSON.parse(line) as { readonly worker: number }).worker))].sort();
}

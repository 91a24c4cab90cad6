import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { GrpcCode } from "../../../shared/grpc/status.ts";
import { type ProxyProcess, startAgent } from "../../support/processes.ts";
import { RawTunnelServer } from "../../support/raw-tunnel.ts";
import { until } from "../../support/until.ts";
import { Workspace } from "../../support/workspace.ts";

/** Our agent, and a server that does not give it the link that it asks for first. */

const workspace = new Workspace();
let server: RawTunnelServer;
let agent: ProxyProcess;
beforeEach(async () => {
  server = await RawTunnelServer.start(workspace.certificates);
  agent = await startAgent({
    implementation: "hawser",
    workspace,
    agentPort: server.port,
    agentId: "agent-0",
    startedAt: "/healthz",
  });
});
afterEach(async () => {
  agent.gone.throwIfAborted();
  await agent.stop();
  await server.stop();
});

afterAll(() => workspace.remove());

const { OK: _, UNIMPLEMENTED, ...refusals } = GrpcCode;
/** The first waits of an agent that a test has started, in ms; none is shorter. */
const waits = [100, 150];

describe("a server that refuses", () => {
  it.each(Object.entries(refusals))(
    "with %s is not asked for the reference's link: the agent says why, once, and waits ever longer",
    async (name, code) => {
      const message = `not you: ${name}`;
      let answeredAt: number | undefined;
      for (const waitMs of [0, ...waits]) {
        const link = await server.nextLink();
        if (answeredAt !== undefined) expect(performance.now() - answeredAt).toBeGreaterThan(waitMs - 1);
        answeredAt = performance.now();
        link.finish(code, message);
        await new Promise((resolve) => link.session.once("close", resolve));
      }
      expect(server.connects.takeAll()).toEqual([]);
      const complaints = agent.stderr.filter((line) => line.includes("cannot link to a server"));
      expect(complaints).toHaveLength(1);
      expect(complaints[0]).toContain(message);
      expect((await agent.get("/readyz")).status).toBe(503);
    },
  );
});

it("a server that does not know Hawser's link is asked for the reference's on the same connection, without a word", async () => {
  const link = await server.nextLink();
  const from = agent.stderr.length;
  link.finish(UNIMPLEMENTED, "unknown service hawser.tunnel.v1.TunnelService");
  const connect = await server.connects.take("a Connect");
  if (connect === undefined) throw new Error("the server has stopped");
  expect(connect.session).toBe(link.session);
  expect(connect.headers[":path"]).toBe("/AgentService/Connect");
  expect(connect.headers.agentid).toBe("agent-0");
  // To a reference server it is an agent like any other.
  expect(Object.keys(connect.headers).filter((key) => key.startsWith("hawser"))).toEqual([]);
  connect.respond({ serverid: "raw-server", servercount: "1" });
  await agent.answersOk("/readyz");
  const said = () => agent.stderr.slice(from);
  await until("its line", () => said().length > 0, { withinMs: 5_000 });
  expect(said()).toHaveLength(1);
  expect(said()[0]).toContain("linked to server");
});

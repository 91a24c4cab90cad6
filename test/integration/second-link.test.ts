import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ProxyProcess, startAgent } from "../support/processes.ts";
import { RoundRobin } from "../support/round-robin.ts";
import { accepted, TokenServer } from "../support/token-server.ts";
import { until } from "../support/until.ts";

const attempts = 5;

// Two servers are said to be behind the address, so the agent looks for the other one for ever.
describe.each(["auto", "konnectivity"])("an agent that meets its one server again, --link-protocol=%s", (protocol) => {
  let scene: TokenServer;
  let balancer: RoundRobin;
  let agent: ProxyProcess | undefined;
  let tokenFile: string;

  beforeAll(async () => {
    scene = await TokenServer.start(["--server-count=2"]);
    balancer = await RoundRobin.start();
    balancer.targets = [scene.server.agentPort];
    for (const token of ["first", "second"]) scene.tokens.set(token, accepted());
    tokenFile = scene.workspace.path("agent-token");
    writeFileSync(tokenFile, "first");
    agent = await startAgent({
      implementation: "hawser",
      workspace: scene.workspace,
      agentPort: balancer.port,
      agentId: "agent-0",
      flags: [
        "--agent-cert=",
        "--agent-key=",
        `--service-account-token-path=${tokenFile}`,
        `--link-protocol=${protocol}`,
      ],
    });
  });
  afterAll(async () => {
    await agent?.stop();
    await balancer?.stop();
    await scene?.stop();
  });

  it("R-7.3: is turned away before anybody is asked about its token", async () => {
    // No answer of the past tells about this one.
    writeFileSync(tokenFile, "second");
    const before = balancer.joinedCount;
    const describe = () => `${balancer.joinedCount - before} more\n${agent?.describe()}`;
    await until("more attempts", () => balancer.joinedCount >= before + attempts, { withinMs: 10_000, describe });
    expect(scene.api.calls).toHaveLength(1);
    expect(scene.reviewsOf("first")).toBe(1);
    expect(await scene.linked()).toBe(1);
    expect(await agent?.metric("open_server_connections")).toBe(1);
    expect(scene.server.stderr.filter((line) => line.includes("agent linked"))).toHaveLength(1);
  });
});

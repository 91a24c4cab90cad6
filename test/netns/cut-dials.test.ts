import { expect } from "vitest";
import type { Endpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { type Report, rounds } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { type OpenConnection, openConnection } from "../support/transfers.ts";
import { until } from "../support/until.ts";
import { CutScene } from "./cut-scene.ts";

/** The server's notice of the lost link, with which a dial that waits there ends. */
const noticeWithinMs = 15_000;
/** The server's deadline for a dial, and by how much it may be late. */
const dialTimeoutMs = 8_000;
const lateMs = 1_000;
/** That an agent has begun to ask an endpoint. */
const askedWithinMs = 5_000;

interface Outcome {
  readonly connection?: OpenConnection;
  readonly error?: string;
  readonly tookMs: number;
}

function cutDuringDial(title: string, flags: readonly string[], body: (scene: CutScene, report: Report) => unknown) {
  rounds(title, { times: inSoak(2, 20), timeoutMs: 120_000 }, async (report) => {
    const scene = await CutScene.start({
      server: "hawser",
      agent: "hawser",
      serverFlags: ["--proxy-strategies=destHost,default", ...flags],
      agentFlags: (endpointHost) => [`--agent-identifiers=ipv4=${endpointHost}`],
    });
    try {
      await body(scene, report);
    } finally {
      await scene.stop();
    }
  });
}

/** Cuts the link while the agent waits for an endpoint; resolves to what the dial came to, and how long after the cut. */
async function outcomeOfCutDial({ tunnel, network }: CutScene, echo: Endpoint): Promise<Outcome> {
  await network.hideEndpoint(echo.port);
  const dial = openConnection(tunnel, echo.address).then(
    (connection) => ({ connection, at: performance.now() }),
    (error: Error) => ({ error: error.message, at: performance.now() }),
  );
  await until("the agent asks the endpoint", async () => (await network.hiddenPackets()) > 0, {
    withinMs: askedWithinMs,
    describe: () => tunnel.describe(),
  });
  const cutAt = performance.now();
  await network.cut("both ways");
  const { at, ...outcome } = await dial;
  return { ...outcome, tookMs: at - cutAt };
}

cutDuringDial(
  "a dial that waits at the agent when its link is cut fails with the link",
  ["--backend-dial-timeout=30s"],
  async (scene, report) => {
    const { error, tookMs } = await outcomeOfCutDial(scene, await scene.echo());
    report("dial fails, s", tookMs / 1_000);
    expect(error).toMatch(/^the connection to the agent was lost \(dial \d+\)$/);
    expect(tookMs).toBeLessThanOrEqual(noticeWithinMs);
  },
);

cutDuringDial(
  "a dial that waits at the agent when its link is cut fails at its deadline if that comes first",
  [],
  async (scene, report) => {
    const { error, tookMs } = await outcomeOfCutDial(scene, await scene.echo());
    report("dial fails, s", tookMs / 1_000);
    expect(error).toBe("timed out waiting for backend dial");
    expect(tookMs).toBeLessThanOrEqual(dialTimeoutMs + lateMs);
  },
);

cutDuringDial(
  "a dial that waits at the agent when its link is cut is carried by another agent",
  ["--backend-dial-timeout=30s"],
  async (scene, report) => {
    // It claims the same address; the one that came first is asked first.
    await scene.tunnel.addAgent("agent-1", scene.network.server);
    const { connection, error, tookMs } = await outcomeOfCutDial(scene, await scene.echo());
    if (connection === undefined) throw new Error(`the dial failed: ${error}\n${scene.tunnel.describe()}`);
    report("dial succeeds, s", tookMs / 1_000);
    expect(tookMs).toBeLessThanOrEqual(noticeWithinMs);
    connection.duplex.write("hello");
    expect(String(await readBytes(connection.duplex, 5))).toBe("hello");
    await connection.close();
  },
);

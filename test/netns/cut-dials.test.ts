import { expect } from "vitest";
import type { Endpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { type Report, rounds } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { type OpenConnection, openConnection } from "../support/transfers.ts";
import { until } from "../support/until.ts";
import { CutScene } from "./cut-scene.ts";

/** The server leaves an agent's dials when it answered neither these nor a probe for two seconds each; it may be late by a few. */
const leftWithinMs = 8_000;
/** A deadline that comes before that, as the error of such a dial says, and by how much it may be late where every core is busy. */
const dialTimeoutMs = 2_000;
const lateMs = 3_000;
/** That an agent has begun to ask an endpoint. */
const askedWithinMs = 5_000;

interface Outcome {
  readonly connection?: OpenConnection;
  readonly error?: string;
  readonly tookMs: number;
}

type Body = (scene: CutScene, report: Report) => Promise<void>;

function cutDuringDial(title: string, flags: readonly string[], body: Body): void {
  for (const link of ["lanes", "packets"] as const) cutDuringDialBy(link, title, flags, body);
}

function cutDuringDialBy(link: "lanes" | "packets", title: string, flags: readonly string[], body: Body): void {
  rounds(`${link}: ${title}`, { times: inSoak(2, 20), timeoutMs: 120_000 }, async (report) => {
    const scene = await CutScene.start({
      server: "hawser",
      agent: "hawser",
      link,
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
  await network.cut("both ways");
  const cutAt = performance.now();
  const { at, ...outcome } = await dial;
  return { ...outcome, tookMs: at - cutAt };
}

cutDuringDial(
  "a dial that waits at the agent when its link is cut fails before the link does",
  ["--backend-dial-timeout=30s"],
  async (scene, report) => {
    const { error, tookMs } = await outcomeOfCutDial(scene, await scene.echo());
    report("dial fails, s", tookMs / 1_000);
    expect(error).toMatch(/^the agent does not answer \(dial \d+\)$/);
    expect(tookMs).toBeLessThanOrEqual(leftWithinMs);
  },
);

cutDuringDial(
  "a dial that waits at the agent when its link is cut fails at its deadline if that comes first",
  [`--backend-dial-timeout=${dialTimeoutMs}ms`],
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
    expect(tookMs).toBeLessThanOrEqual(leftWithinMs);
    connection.duplex.write("hello");
    expect(String(await readBytes(connection.duplex, 5))).toBe("hello");
    await connection.close();
  },
);

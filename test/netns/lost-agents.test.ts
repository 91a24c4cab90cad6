import { expect } from "vitest";
import { type Report, rounds } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { Standstill } from "../support/standstill.ts";
import { openConnection } from "../support/transfers.ts";
import { until } from "../support/until.ts";
import { CutScene, closed } from "./cut-scene.ts";

/** From the moment when the server knows that an agent is lost. */
const closedWithinMs = 1_000;
/** The server's notice, with some time to spare: how late it may be is for others to test. */
const noticeWithinMs = 30_000;
const askedWithinMs = 5_000;
const countedWithinMs = 5_000;
const idleConnections = 20;
const pendingDials = 8;

const losses = { "cut off": (scene: CutScene) => scene.network.cut("both ways"), killed: killAgent } as const;

for (const protocol of ["grpc", "connect"] as const) {
  for (const loss of ["cut off", "killed"] as const) {
    const title = `${protocol} frontends of an agent that is ${loss} are all closed within 1 s of the notice (R-2.5)`;
    rounds(title, { times: inSoak(1, 10), timeoutMs: 120_000 }, async (report) => {
      const serverFlags = ["--backend-dial-timeout=60s"];
      const scene = await CutScene.start({ server: "hawser", agent: "hawser", link: "lanes", protocol, serverFlags });
      try {
        await loseAgent(scene, losses[loss], report);
      } finally {
        await scene.stop();
      }
    });
  }
}

async function loseAgent(scene: CutScene, lose: (scene: CutScene) => unknown, report: Report): Promise<void> {
  const { tunnel, network } = scene;
  const echo = await scene.echo();
  const established = await Promise.all(Array.from({ length: idleConnections }, () => scene.openIdle(echo)));
  established.push(await scene.openBusy());
  await network.hideEndpoint(echo.port);
  const pending = Array.from({ length: pendingDials }, () => openConnection(tunnel, echo.address));
  await until(
    "the agent asks the endpoint for every dial",
    async () => (await network.hiddenPackets()) >= pendingDials,
    {
      withinMs: askedWithinMs,
      describe: () => tunnel.describe(),
    },
  );
  const ends = [
    ...established.map((connection) => closed(connection).then(Date.now)),
    ...pending.map((dial) => dial.then(requireFailure, Date.now)),
  ];
  const standstill = new Standstill();
  await lose(scene);
  const noticedAt = await scene.logged(tunnel.server, "agent link ended", 1, noticeWithinMs);
  const lastMs = Math.max(...(await Promise.all(ends))) - noticedAt;
  report("last end after the notice, s", lastMs / 1_000);
  expect(lastMs - (await standstill.end())).toBeLessThanOrEqual(closedWithinMs);
  // A frontend may hear of its end before the server has counted that.
  for (const gauge of ["established_connections", "pending_backend_dials"]) {
    const describe = () => tunnel.describe();
    await until(`no ${gauge}`, async () => (await tunnel.server.metric(gauge)) === 0, {
      withinMs: countedWithinMs,
      describe,
    });
  }
}

function requireFailure(): never {
  throw new Error("a dial of an endpoint that does not answer succeeded");
}

function killAgent({ tunnel, agent }: CutScene): void {
  tunnel.killAgent(agent);
}

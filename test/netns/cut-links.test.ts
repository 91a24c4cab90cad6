import { expect } from "vitest";
import type { Endpoint } from "../support/endpoints.ts";
import type { Implementation } from "../support/processes.ts";
import { type Report, rounds } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";
import { CutScene, closed } from "./cut-scene.ts";
import type { Cut } from "./split-network.ts";

/** From the cut to the moment when a half has given its peer up, by its own log: what is promised to operators. */
const serverNoticesWithinMs = 15_000;
/** Over lanes both halves ping alike; on the reference's wire an agent may not, since a reference server forbids it. */
const agentNoticesWithinMs = { lanes: 15_000, packets: 45_000 };
/**
 * What follows from the notice: readiness, metrics, the ends of connections. Without it they would last for minutes. The one second that
 * is promised for the ends is held where no bulk of other rounds runs beside (`lost-agents.test.ts`).
 */
const soonMs = 10_000;
/** An attempt to connect takes 20 s until it is given up, and the one after it gets through. */
const relinksWithinMs = 30_000;
/** A reference server asks the link that it lost until TCP tells it of the loss, by its keepalive every 15 s. */
const referenceForgetsWithinMs = 60_000;

const reference = "reference-v0.36.0";
interface Case {
  readonly server: Implementation;
  readonly agent: Implementation;
  readonly link: keyof typeof agentNoticesWithinMs;
  readonly cut: Cut;
  readonly busy: boolean;
}
const ours = { server: "hawser", agent: "hawser" } as const;
const idleAndBusy = (half: Omit<Case, "busy">): Case[] => [
  { ...half, busy: false },
  { ...half, busy: true },
];
const cases: readonly Case[] = [
  ...(["lanes", "packets"] as const).flatMap((link) => [
    ...idleAndBusy({ ...ours, link, cut: "both ways" }),
    ...idleAndBusy({ ...ours, link, cut: "agent to server" }),
    ...idleAndBusy({ ...ours, link, cut: "server to agent" }),
  ]),
  ...idleAndBusy({ server: "hawser", agent: reference, link: "packets", cut: "both ways" }),
  ...idleAndBusy({ server: reference, agent: "hawser", link: "packets", cut: "both ways" }),
];

for (const one of cases) {
  const { server, agent, link, cut, busy } = one;
  const title = `${server} server, ${agent} agent, ${link}, ${busy ? "in the middle of bulk" : "idle"}: cut ${cut} (R-2.1)`;
  rounds(title, { times: inSoak(2, 20), timeoutMs: 240_000 }, async (report) => {
    const scene = await CutScene.start({ server, agent, link });
    try {
      await cutAndHeal(scene, one, report);
    } finally {
      await scene.stop();
    }
  });
}

async function cutAndHeal(scene: CutScene, one: Case, report: Report): Promise<void> {
  const { server, agent, link, cut, busy } = one;
  const echo = await scene.echo();
  const connections = [await scene.openIdle(echo)];
  if (busy) connections.push(await scene.openBusy());
  else await scene.idle();

  await scene.network.cut(cut);
  // From when the wire loses packets for sure: on a busy machine iptables alone may take a second.
  const cutAt = Date.now();
  const noticed = async (half: string, limitMs: number, notice: Promise<number>) => {
    const tookMs = (await notice) - cutAt;
    report(`${half} notices, s`, tookMs / 1_000);
    expect(tookMs).toBeLessThanOrEqual(limitMs);
  };
  // Who still hears the other does so until that has given up. Over lanes it is told then, by a reset; else its own wait begins.
  const hearsOn = cut === "agent to server" && link === "packets";
  const agentLimitMs = agentNoticesWithinMs[link] + (hearsOn ? serverNoticesWithinMs : 0);
  await Promise.all([
    server === "hawser"
      ? noticed("server", serverNoticesWithinMs, serverGivesUp(scene)).then(() => serverIsClean(scene, connections))
      : undefined,
    agent === "hawser"
      ? noticed("agent", agentLimitMs, agentGivesUp(scene)).then(() => scene.endpointsQuiet(soonMs))
      : undefined,
  ]);

  const healedAt = performance.now();
  await scene.network.heal();
  if (server === "hawser") {
    await scene.logged(scene.tunnel.server, "agent linked", 2, relinksWithinMs);
    report("linked again, s", (performance.now() - healedAt) / 1_000);
    await scene.openIdle(echo);
  } else {
    await scene.logged(scene.agent, "linked to server", 2, relinksWithinMs);
    report("linked again, s", (performance.now() - healedAt) / 1_000);
    await dialWorksInTheEnd(scene, echo);
  }
}

/** Some longer than it may take, so that a late notice is reported with its time. */
const serverGivesUp = (scene: CutScene) =>
  scene.logged(scene.tunnel.server, "agent link ended", 1, 2 * serverNoticesWithinMs);
const agentGivesUp = (scene: CutScene) =>
  scene.logged(scene.agent, "link to server ended", 1, 2 * agentNoticesWithinMs.packets);

async function serverIsClean(scene: CutScene, connections: Parameters<typeof closed>[0][]): Promise<void> {
  const { server } = scene.tunnel;
  await within(soonMs, "the ends of its connections", Promise.all(connections.map(closed)));
  const options = { withinMs: soonMs, describe: () => server.describe() };
  await until("500 on /readyz", async () => (await server.get("/readyz")).status === 500, options);
  await until("no established connection", async () => (await server.metric("established_connections")) === 0, options);
  expect(await server.metric("ready_backends", { proxy_strategy: "default" })).toBe(0);
}

async function dialWorksInTheEnd(scene: CutScene, echo: Endpoint): Promise<void> {
  await until("a dial works", async () => await scene.openIdle(echo), {
    withinMs: referenceForgetsWithinMs,
    describe: () => scene.tunnel.describe(),
  });
}

import { expect, it } from "vitest";
import { agentSeriesMax } from "../../../server/link-metrics.ts";
import { ServerMetrics } from "../../../server/metrics.ts";
import { expose } from "../../../shared/metrics/registry.ts";
import { FakeAgentLink } from "../../support/fake-agent-link.ts";
import { MetricsPage } from "../../support/metrics-page.ts";

/** The figures of a server with these links, by family and label. */
async function figuresOf(links: Iterable<FakeAgentLink>): Promise<Record<string, number>> {
  const metrics = new ServerMetrics({ version: "0" });
  metrics.watchLinks(links);
  const { samples } = new MetricsPage(await expose(metrics.registry));
  const own = samples.filter(({ name }) => /^hawser_server_(agent|lanes)/.test(name));
  return Object.fromEntries(
    own.map(({ name, labels, value }) => [[name.slice(14), ...Object.values(labels)].join(" "), value]),
  );
}

function link(id: string, figures: Partial<FakeAgentLink> = {}): FakeAgentLink {
  return Object.assign(new FakeAgentLink(id), figures);
}

it("tells of each agent, and of the worst, in seconds", async () => {
  const figures = await figuresOf([
    link("a", { roundTripMs: 3, silenceMs: 1_500, openConnections: 2, pendingDials: 1, lanes: { inUse: 3, spare: 4 } }),
    link("b", { roundTripMs: 40, silenceMs: 200, state: "draining", lanes: { inUse: 1, spare: 5 } }),
    link("c", { silenceMs: 9_000, state: "unresponsive" }),
  ]);
  expect(figures).toEqual({
    "agents ready": 1,
    "agents unresponsive": 1,
    "agents draining": 1,
    "lanes in_use": 4,
    "lanes spare": 9,
    "agent_connections a": 2,
    "agent_connections b": 0,
    "agent_connections c": 0,
    "agent_pending_dials a": 1,
    "agent_pending_dials b": 0,
    "agent_pending_dials c": 0,
    "agent_round_trip_seconds a": 0.003,
    "agent_round_trip_seconds b": 0.04,
    "agent_silence_seconds a": 1.5,
    "agent_silence_seconds b": 0.2,
    "agent_silence_seconds c": 9,
    agent_round_trip_max_seconds: 0.04,
    agent_silence_max_seconds: 9,
  });
});

it("adds up the links of one agent, and takes the longer of their times", async () => {
  const figures = await figuresOf([
    link("a", { roundTripMs: 3, silenceMs: 100, openConnections: 2, state: "draining" }),
    link("a", { roundTripMs: 5, silenceMs: 50, openConnections: 3 }),
  ]);
  expect(figures).toMatchObject({
    "agents ready": 1,
    "agents draining": 1,
    "agent_connections a": 5,
    "agent_round_trip_seconds a": 0.005,
    "agent_silence_seconds a": 0.1,
  });
});

it("tells of no agent by name once there are more than a hundred, and of the worst still", async () => {
  const links = Array.from({ length: agentSeriesMax }, (_, index) => link(`${index}`, { silenceMs: index }));
  expect(Object.keys(await figuresOf(links)).length).toBe(3 * agentSeriesMax + 6);
  links.push(link("one more", { silenceMs: 5_000 }));
  expect(await figuresOf(links)).toEqual({
    "agents ready": agentSeriesMax + 1,
    "agents unresponsive": 0,
    "agents draining": 0,
    "lanes in_use": 0,
    "lanes spare": 0,
    agent_silence_max_seconds: 5,
  });
});

it("forgets agents that have left", async () => {
  const links = new Set([link("a")]);
  const metrics = new ServerMetrics({ version: "0" });
  metrics.watchLinks(links);
  expect(await expose(metrics.registry)).toContain('agent="a"');
  links.clear();
  expect(await expose(metrics.registry)).not.toContain('agent="a"');
});

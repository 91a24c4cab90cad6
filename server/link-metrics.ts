import { type Reading, type Registry, reading, readings } from "../shared/metrics/registry.ts";
import type { AgentLink } from "./links/link.ts";

/** Up to so many agents each have series of their own; of more there are only the worst of all, or Prometheus would hold one for each. */
export const agentSeriesMax = 100;

const states = ["ready", "unresponsive", "draining"] as const;

type Figure = (link: AgentLink) => number | undefined;

const roundTrip: Figure = ({ roundTripMs }) => (roundTripMs === undefined ? undefined : roundTripMs / 1000);
const silence: Figure = (link) => link.silentMs() / 1000;

/** What there is to know of the agents that are linked now, read from their links when the page is asked for. */
export class LinkMetrics {
  #links: Iterable<AgentLink> = [];

  constructor(registry: Registry) {
    readings(registry, {
      type: "gauge",
      name: "hawser_server_agents",
      help: "Agent links by state: unresponsive ones answer neither dials nor probes, draining ones asked for no more dials.",
      labels: ["state"],
      read: () => states.map((state) => ({ labels: { state }, value: this.#count(state) })),
    });
    const carried = "Connections that the agent carries.";
    this.#perAgent(registry, "connections", carried, "sum", (link) => link.openConnections);
    const waiting = "Dials that the agent has not answered.";
    this.#perAgent(registry, "pending_dials", waiting, "sum", (link) => link.pendingDials);
    const shortest = "Shortest round trip to the agent that a PING has shown, in seconds; of links with lanes only.";
    this.#perAgent(registry, "round_trip_seconds", shortest, "max", roundTrip);
    this.#perAgent(registry, "silence_seconds", "Seconds since the agent's last byte.", "max", silence);
    this.#worst(registry, "round_trip_max_seconds", "The longest of all agents' round trips, in seconds.", roundTrip);
    this.#worst(
      registry,
      "silence_max_seconds",
      "Seconds since the last byte of the agent that is silent longest.",
      silence,
    );
  }

  /** From now on shows what these links say. */
  watch(links: Iterable<AgentLink>): void {
    this.#links = links;
  }

  #count(state: AgentLink["state"]): number {
    return [...this.#links].filter((link) => link.state === state).length;
  }

  /** `aggregator` makes one figure of those of several links of one agent id. */
  #perAgent(registry: Registry, name: string, help: string, aggregator: "sum" | "max", figure: Figure): void {
    readings(registry, {
      type: "gauge",
      name: `hawser_server_agent_${name}`,
      help: `${help} One series for each agent, none if there are more than ${agentSeriesMax} agents.`,
      aggregator,
      labels: ["agent"],
      read: () => this.#byAgent(aggregator === "sum" ? sum : Math.max, figure),
    });
  }

  #byAgent(join: (one: number, other: number) => number, figure: Figure): Reading<"agent">[] {
    const values = new Map<string, number>();
    const agents = new Set<string>();
    for (const link of this.#links) {
      const { id } = link.agent;
      agents.add(id);
      if (agents.size > agentSeriesMax) return [];
      const value = figure(link);
      const known = values.get(id);
      if (value !== undefined) values.set(id, known === undefined ? value : join(known, value));
    }
    return [...values].map(([agent, value]) => ({ labels: { agent }, value }));
  }

  #worst(registry: Registry, name: string, help: string, figure: Figure): void {
    const read = () => {
      let worst: number | undefined;
      for (const link of this.#links) {
        const value = figure(link);
        if (value !== undefined) worst = Math.max(value, worst ?? value);
      }
      return worst;
    };
    reading(registry, { type: "gauge", name: `hawser_server_agent_${name}`, help, aggregator: "max", read });
  }
}

const sum = (one: number, other: number): number => one + other;

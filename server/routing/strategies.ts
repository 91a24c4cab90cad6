import type { Random } from "../../shared/clock.ts";
import type { AgentLink } from "../links/link.ts";
import { canonicalHost } from "./destination.ts";
import { type Eligible, LinkPool } from "./link-pool.ts";

export type StrategyName = "default" | "destHost" | "defaultRoute";

/** One way to choose an agent. Source: the reference's `--proxy-strategies`. */
export interface Strategy {
  readonly name: StrategyName;
  readonly pool: LinkPool;
  /** Under which identifiers a link is kept; none if this strategy never chooses it. */
  identifiersOf(link: AgentLink): readonly string[];
  choose(host: string, eligible: Eligible): AgentLink | undefined;
}

export function createStrategy(name: StrategyName, deps: { readonly random: Random }): Strategy {
  const pool = new LinkPool(deps);
  switch (name) {
    case "default":
      return { name, pool, identifiersOf: (link) => [link.agent.id], choose: (_host, eligible) => pool.any(eligible) };
    case "defaultRoute":
      return {
        name,
        pool,
        identifiersOf: (link) => (link.agent.identifiers.defaultRoute ? [link.agent.id] : []),
        choose: (_host, eligible) => pool.any(eligible),
      };
    case "destHost":
      return {
        name,
        pool,
        identifiersOf: ({ agent: { identifiers } }) =>
          [...new Set([...identifiers.ipv4, ...identifiers.ipv6, ...identifiers.host])].map(canonicalHost),
        choose: (host, eligible) => pool.under(host, eligible),
      };
  }
}

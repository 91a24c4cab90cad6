import type { Random } from "../../shared/clock.ts";
import { destinationHost } from "../routing/destination.ts";
import { LinkPool } from "../routing/link-pool.ts";
import { createStrategy, type Strategy, type StrategyName } from "../routing/strategies.ts";
import type { AgentLink } from "./link.ts";

export interface RegistryObserver {
  /** After each change: how many identifiers each strategy knows, and how many distinct agent ids are linked. */
  changed(readyBackends: ReadonlyMap<StrategyName, number>, agentCount: number): void;
}

/** All links of this server, and the choice among them. */
export class Registry {
  readonly #strategies: readonly Strategy[];
  readonly #links = new Set<AgentLink>();
  /** By agent id, for counting agents rather than links. */
  readonly #agents: LinkPool;
  readonly #observer: RegistryObserver;

  /** `strategies` in order of preference; a name that stands twice counts once. */
  constructor(
    deps: { readonly random: Random; readonly observer: RegistryObserver },
    options: { readonly strategies: readonly StrategyName[] },
  ) {
    this.#strategies = [...new Set(options.strategies)].map((name) => createStrategy(name, deps));
    this.#agents = new LinkPool(deps);
    this.#observer = deps.observer;
    this.#changed();
  }

  get links(): ReadonlySet<AgentLink> {
    return this.#links;
  }

  /** Whether the first strategy has anybody to choose, as the reference's readiness has it. Draining agents count. */
  get ready(): boolean {
    return (this.#strategies[0]?.pool.identifierCount ?? 0) > 0;
  }

  add(link: AgentLink): void {
    this.#links.add(link);
    this.#agents.add(link.agent.id, link);
    for (const { pool, identifiersOf } of this.#strategies) {
      for (const identifier of identifiersOf(link)) pool.add(identifier, link);
    }
    this.#changed();
  }

  remove(link: AgentLink): void {
    if (!this.#links.delete(link)) return;
    this.#agents.remove(link.agent.id, link);
    for (const { pool, identifiersOf } of this.#strategies) {
      for (const identifier of identifiersOf(link)) pool.remove(identifier, link);
    }
    this.#changed();
  }

  /**
   * The agent for a dial to `address`: the first strategy that has one decides. `tried` links are not chosen again.
   * Within a strategy a draining link comes last, not never.
   */
  choose(address: string, tried: ReadonlySet<AgentLink>): AgentLink | undefined {
    const host = destinationHost(address);
    const eligible = (link: AgentLink) => link.state !== "closed" && !tried.has(link);
    for (const strategy of this.#strategies) {
      const link = strategy.choose(host, eligible);
      if (link !== undefined) return link;
    }
    return undefined;
  }

  #changed(): void {
    const readyBackends = new Map(this.#strategies.map(({ name, pool }) => [name, pool.identifierCount]));
    this.#observer.changed(readyBackends, this.#agents.identifierCount);
  }
}

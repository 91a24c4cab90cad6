import type { Random } from "../../shared/clock.ts";
import type { AgentLink } from "../links/link.ts";

/** Links that may still be asked in this dial. */
export type Eligible = (link: AgentLink) => boolean;

/**
 * Links by identifier, as each strategy of the reference keeps them. An identifier may have several links: they stay in
 * order of arrival, so that the duplicate an agent is about to close is not preferred to the link it keeps.
 */
export class LinkPool {
  readonly #random: Random;
  readonly #links = new Map<string, AgentLink[]>();
  /** The map's keys, for a uniform choice in constant time. */
  readonly #identifiers: string[] = [];

  constructor(deps: { readonly random: Random }) {
    this.#random = deps.random;
  }

  get identifierCount(): number {
    return this.#identifiers.length;
  }

  add(identifier: string, link: AgentLink): void {
    const links = this.#links.get(identifier);
    if (links === undefined) {
      this.#links.set(identifier, [link]);
      this.#identifiers.push(identifier);
    } else if (!links.includes(link)) {
      links.push(link);
    }
  }

  remove(identifier: string, link: AgentLink): void {
    const links = this.#links.get(identifier);
    const index = links?.indexOf(link) ?? -1;
    if (links === undefined || index < 0) return;
    links.splice(index, 1);
    if (links.length > 0) return;
    this.#links.delete(identifier);
    const last = this.#identifiers.pop();
    if (last !== undefined && last !== identifier) this.#identifiers[this.#identifiers.indexOf(identifier)] = last;
  }

  /** A link under this very identifier: the first that is ready, else one that drains, else one that does not answer. */
  under(identifier: string, eligible: Eligible): AgentLink | undefined {
    const links = this.#links.get(identifier)?.filter(eligible) ?? [];
    return bestOf(links)[0];
  }

  /** A link under any identifier, each with the same chance; one that is not ready only if there is no other. */
  any(eligible: Eligible): AgentLink | undefined {
    const guess = this.#identifiers[Math.floor(this.#random() * this.#identifiers.length)];
    if (guess === undefined) return undefined;
    const guessed = this.under(guess, eligible);
    if (guessed?.state === "ready") return guessed;
    const found = this.#identifiers
      .map((identifier) => this.under(identifier, eligible))
      .filter((link) => link !== undefined);
    const choice = bestOf(found);
    return choice[Math.floor(this.#random() * choice.length)];
  }
}

/** Those of the best state that there is among them, in their order. */
function bestOf(links: readonly AgentLink[]): readonly AgentLink[] {
  const states = ["ready", "draining", "unresponsive"] as const;
  const best = states.find((state) => links.some((link) => link.state === state));
  return links.filter((link) => link.state === best);
}

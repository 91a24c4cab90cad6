import type { ManagedProcess } from "../support/managed-process.ts";
import type { Scene } from "../support/scene.ts";
import { until } from "../support/until.ts";

const restWithinMs = 10_000;

/** The descriptors that both halves of a scene hold while nothing runs: after a fault they may hold no more. */
export class Holdings {
  readonly #scene: Scene;
  /** Without its agents' connections, so that agents may come and go. */
  readonly #server: number;
  readonly #agent: number;

  private constructor(scene: Scene, held: { readonly server: number; readonly agent: number }) {
    this.#scene = scene;
    this.#server = held.server;
    this.#agent = held.agent;
  }

  /** Takes the present state for that at rest, once it does not change any more. */
  static async take(scene: Scene): Promise<Holdings> {
    const { server, agents } = scene.tunnel;
    const held = await Promise.all([server, ...agents].map(atRest));
    const [ofServer = 0, ...ofAgents] = held;
    return new Holdings(scene, { server: ofServer - agents.length, agent: Math.max(0, ...ofAgents) });
  }

  /** Resolves when no process holds more than at rest; its own agents count one connection each at the server. */
  async regain(): Promise<void> {
    const { server, agents } = this.#scene.tunnel;
    let last = "";
    const regained = () => {
      const ofServer = server.openDescriptors() - agents.length;
      const ofAgents = agents.map((agent) => agent.openDescriptors());
      last = `server ${ofServer} of ${this.#server}, agents ${ofAgents} of ${this.#agent} each`;
      return ofServer <= this.#server && ofAgents.every((count) => count <= this.#agent);
    };
    const describe = () => `${last}\n${this.#scene.tunnel.describe()}`;
    await until("no more descriptors than at rest", regained, {
      withinMs: restWithinMs,
      signal: server.gone,
      describe,
    });
  }
}

/** How many descriptors a half holds: the connection of the last scrape may still be about to close. */
export async function atRest(half: ManagedProcess): Promise<number> {
  let last = -1;
  const same = () => {
    const before = last;
    last = half.openDescriptors();
    return last === before;
  };
  await until(`${half.name}: as many descriptors twice`, same, { withinMs: restWithinMs, signal: half.gone });
  return last;
}

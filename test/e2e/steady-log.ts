import { createInterface } from "node:readline";
import type { ManagedProcess } from "../support/managed-process.ts";
import { until } from "../support/until.ts";
import type { Kubectl } from "./kubectl.ts";
import type { NodeSite } from "./network.ts";
import { podName } from "./pods.ts";

const movesWithinMs = 30_000;

/** A `kubectl logs -f` of a container that counts, running beside whatever else a test does. */
export class SteadyLog {
  readonly #client: ManagedProcess;
  readonly #ticks: number[] = [];

  private constructor(client: ManagedProcess) {
    this.#client = client;
    createInterface({ input: client.stdout }).on("line", (line) => this.#ticks.push(Number(line.replace("tick ", ""))));
  }

  /** Resolves when the first lines have come. `flags` are more of kubectl's. */
  static async start(kubectl: Kubectl, site: NodeSite, ...flags: readonly string[]): Promise<SteadyLog> {
    const args = ["logs", "--follow", "--tail=1", podName(site), "--container=clock", ...flags];
    const log = new SteadyLog(kubectl.start(args));
    await log.goesOn();
    return log;
  }

  /** Resolves when more lines have come; rejects if the client ends instead, or if one was lost. */
  async goesOn(): Promise<void> {
    const from = this.#ticks.length;
    await until(`more of ${this.#client.name}`, () => this.#ticks.length > from + 10, {
      withinMs: movesWithinMs,
      signal: this.#client.gone,
    });
    const first = this.#ticks[0] ?? Number.NaN;
    const wrong = this.#ticks.findIndex((tick, index) => tick !== first + index);
    if (wrong !== -1) throw new Error(`after tick ${this.#ticks[wrong - 1]} came tick ${this.#ticks[wrong]}`);
  }

  /** Resolves when the client has ended by itself. */
  async ends(): Promise<void> {
    await until(`the end of ${this.#client.name}`, () => this.#client.gone.aborted, { withinMs: movesWithinMs });
  }

  async stop(): Promise<void> {
    await this.#client.stop();
  }
}

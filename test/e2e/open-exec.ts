import { createInterface } from "node:readline";
import type { ManagedProcess } from "../support/managed-process.ts";
import { within } from "../support/within.ts";
import type { Kubectl } from "./kubectl.ts";
import type { NodeSite } from "./network.ts";
import { podName } from "./pods.ts";

const answersWithinMs = 30_000;

/** A `kubectl exec` that stays open and gives back what it is given. */
export class OpenExec {
  readonly #client: ManagedProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(client: ManagedProcess) {
    this.#client = client;
    this.#lines = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  }

  /** Resolves when it answers. */
  static async start(kubectl: Kubectl, site: NodeSite): Promise<OpenExec> {
    const exec = new OpenExec(kubectl.start(["exec", "--stdin", podName(site), "--container=shell", "--", "cat"]));
    await exec.answers("the first");
    return exec;
  }

  async answers(word: string): Promise<void> {
    this.#client.stdin.write(`${word}\n`);
    const { value } = await within(answersWithinMs, `the answer of ${this.#client.name}`, this.#lines.next());
    if (value !== word) throw new Error(`${this.#client.describe()}\nanswered ${value} to ${word}`);
  }

  /** Ends what it reads; rejects unless it succeeds. */
  async finish(): Promise<void> {
    this.#client.stdin.end();
    const { code } = await within(answersWithinMs, `the end of ${this.#client.name}`, this.#client.exited);
    if (code !== 0) throw new Error(`${this.#client.describe()}\nexited with ${code}`);
  }

  async stop(): Promise<void> {
    await this.#client.stop();
  }
}

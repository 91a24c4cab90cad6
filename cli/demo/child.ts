import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

const keptLines = 200;

/** A process of the demo, run by this very Node. It lives until it ends or `stop` is called, and not longer than this process. */
export class Child {
  readonly name: string;
  /** Resolves with a sentence about how it ended. */
  readonly ended: Promise<string>;
  readonly #process: ChildProcess;
  readonly #gone = new AbortController();
  readonly #lines: string[] = [];
  readonly #killWithUs = () => {
    this.#process.kill("SIGKILL");
  };

  /** `script` is run with a channel for messages, by whose end it can tell that this process has gone. */
  constructor(name: string, script: string, args: readonly string[]) {
    this.name = name;
    this.#process = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    createInterface({ input: this.#process.stderr as Readable }).on("line", (line) => {
      this.#lines.push(line);
      if (this.#lines.length > keptLines) this.#lines.shift();
    });
    process.on("exit", this.#killWithUs);
    this.ended = this.#watch();
  }

  /** Undefined if it could not be started. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Aborts when it has ended, with that sentence. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** The newest lines of its log. */
  lastLines(count: number): readonly string[] {
    return this.#lines.slice(-count);
  }

  /** Resolves to its first message. Rejects when it ends before, and with the signal's reason. */
  async message(options: { readonly signal: AbortSignal }): Promise<unknown> {
    const signal = AbortSignal.any([options.signal, this.gone]);
    try {
      const [message] = await once(this.#process, "message", { signal });
      return message;
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  /** Ends it at once; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.ended;
  }

  async #watch(): Promise<string> {
    const how = await new Promise<string>((resolve) => {
      this.#process.once("error", (error) => resolve(`could not be started: ${error.message}`));
      this.#process.once("close", (code, signal) => resolve(`ended with ${signal ?? `status ${code}`}`));
    });
    process.off("exit", this.#killWithUs);
    const sentence = `${this.name} ${how}`;
    this.#gone.abort(new Error(sentence));
    return sentence;
  }
}

import type { Worker } from "node:cluster";
import { UsageError } from "../../shared/errors.ts";
import type { Answers, FromWorker, Question, ToWorker, WorkerStart } from "./messages.ts";

export interface WorkerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One forked process, as the primary sees it. */
export class WorkerProcess {
  /** Resolves when it serves. Rejects with a UsageError if it cannot start, with an Error if it dies before. */
  readonly started: Promise<void>;
  readonly exited: Promise<WorkerExit>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (answer?: Answers[keyof Answers]) => void>();
  /** What is to be said once it listens; undefined from then on. */
  #unsaid: ToWorker[] | undefined = [];
  #lastId = 0;
  #gone = false;

  constructor(worker: Worker, start: WorkerStart) {
    this.#worker = worker;
    let notForked: Error | undefined;
    this.exited = new Promise((resolve) => {
      worker.once("exit", (code: number | null, signal: NodeJS.Signals | "" | null) =>
        resolve({ code, signal: signal || null }),
      );
      // What is written to a process that has just gone is lost, and its exit is seen elsewhere. What could not be forked has no exit.
      worker.on("error", (error) => {
        if (this.pid !== undefined) return;
        notForked = error;
        resolve({ code: null, signal: null });
      });
    });
    void this.exited.then(() => {
      this.#gone = true;
      for (const answer of this.#waiting.values()) answer();
    });
    this.started = new Promise((resolve, reject) => {
      worker.on("message", (message: FromWorker) => {
        if (message.kind === "awake") this.#wake(start);
        else if (message.kind === "started") resolve();
        else if (message.kind === "failed") reject(new UsageError(message.reason));
        else this.#waiting.get(message.id)?.(message.answer);
      });
      void this.exited.then(({ code, signal }) =>
        reject(notForked ?? new Error(`it ended before with ${signal ?? `code ${code}`}`)),
      );
    });
    // Whoever started it asks; one that was started again is told of by its exit.
    this.started.catch(() => {});
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Lost if it has gone. */
  send(message: ToWorker): void {
    if (this.#unsaid !== undefined) this.#unsaid.push(message);
    else if (this.#worker.isConnected()) this.#worker.send(message, () => {});
  }

  #wake(start: WorkerStart): void {
    const unsaid = this.#unsaid ?? [];
    this.#unsaid = undefined;
    this.send({ kind: "start", ...start });
    for (const message of unsaid) this.send(message);
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  /** Resolves to undefined if `signal` aborts or the worker dies before it has answered. */
  async ask<Q extends Question>(
    question: Q,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Answers[Q["what"]] | undefined> {
    if (signal.aborted || this.#gone) return undefined;
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = await new Promise<Answers[keyof Answers] | undefined>((resolve) => {
      const settle = (given?: Answers[keyof Answers]) => {
        signal.removeEventListener("abort", giveUp);
        resolve(given);
      };
      const giveUp = () => settle();
      this.#waiting.set(id, settle);
      signal.addEventListener("abort", giveUp, { once: true });
      this.send({ kind: "ask", id, question });
    });
    this.#waiting.delete(id);
    if (answer === undefined) this.send({ kind: "forget", id });
    return answer as Answers[Q["what"]] | undefined;
  }
}

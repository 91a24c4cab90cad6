import type { HttpAnswer, HttpQuestion } from "../../shared/http/listener.ts";
import type { MetricsPage } from "../../shared/metrics/page.ts";
import type { Answers, FromWorker, Question, ToWorker, WorkerStart } from "./messages.ts";

/** Where a worker's answers come from. */
export interface AnswerSources {
  ready(): boolean;
  metrics(): Promise<MetricsPage>;
  profile(path: string, question: HttpQuestion): HttpAnswer | Promise<HttpAnswer>;
}

/** The primary, as a worker sees it. Questions that come before `answer` is called stay without one. */
export class PrimaryChannel {
  readonly started: Promise<WorkerStart>;
  /** Resolves when the worker is to stop. */
  readonly stopping: Promise<void>;
  readonly #hurry = new AbortController();
  readonly #asked = new Map<number, AbortController>();
  #sources: AnswerSources | undefined;
  #start: (start: WorkerStart) => void = () => {};
  #stop: () => void = () => {};

  constructor() {
    this.started = new Promise((resolve) => {
      this.#start = resolve;
    });
    this.stopping = new Promise((resolve) => {
      this.#stop = resolve;
    });
    process.on("message", (message) => this.#receive(message as ToWorker));
    void this.send({ kind: "awake" });
  }

  /** Aborts when the stop is to be cut short. */
  get hurry(): AbortSignal {
    return this.#hurry.signal;
  }

  answer(sources: AnswerSources): void {
    this.#sources = sources;
  }

  /** Resolves when the message is on its way; also if nobody is there to take it, for then this process ends. */
  send(message: FromWorker): Promise<void> {
    return new Promise((resolve) => process.send?.(message, undefined, {}, () => resolve()));
  }

  #receive(message: ToWorker): void {
    switch (message.kind) {
      case "start":
        return this.#start(message);
      case "ask":
        return void this.#answer(message.id, message.question);
      case "forget":
        return this.#asked.get(message.id)?.abort();
      case "stop":
        return this.#stop();
      case "hurry":
        return this.#hurry.abort();
    }
  }

  async #answer(id: number, question: Question): Promise<void> {
    if (this.#sources === undefined) return;
    const forgotten = new AbortController();
    this.#asked.set(id, forgotten);
    const answer = await answerTo(question, this.#sources, forgotten.signal);
    this.#asked.delete(id);
    await this.send({ kind: "answer", id, answer });
  }
}

async function answerTo(
  question: Question,
  sources: AnswerSources,
  signal: AbortSignal,
): Promise<Answers[keyof Answers]> {
  switch (question.what) {
    case "ready":
      return sources.ready();
    case "metrics":
      return await sources.metrics();
    case "profile":
      return await sources.profile(question.path, { query: new URLSearchParams(question.query), host: "", signal });
  }
}

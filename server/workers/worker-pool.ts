import type { Clock } from "../../shared/clock.ts";
import type { HttpAnswer, HttpQuestion } from "../../shared/http/listener.ts";
import type { Log } from "../../shared/log.ts";
import type { MetricsPage } from "../../shared/metrics/page.ts";
import type { Answers, Question } from "./messages.ts";
import { JoinedMetrics, type SupervisionMetrics } from "./worker-metrics.ts";
import { type ForkedWorker, WorkerSlot } from "./worker-slot.ts";

/** A worker that has not answered then is behind, or hangs. Well below a scraper's patience. */
const answerWithinMs = 5_000;
/** A worker's own stop is bounded: by the grace, and some seconds for answers on their way. */
const stopSpareMs = 20_000;
const hurriedStopMs = 1_000;

export interface WorkerPoolDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: SupervisionMetrics;
  readonly fork: (worker: number) => ForkedWorker;
}

/** All workers of a server. */
export class WorkerPool {
  /** Resolves if a worker does not stay alive, with what to tell. */
  readonly failed: Promise<string>;
  readonly #deps: WorkerPoolDeps;
  readonly #graceMs: number;
  readonly #slots: readonly WorkerSlot[];
  readonly #joined: JoinedMetrics;
  #stopped: Promise<void> | undefined;

  constructor(deps: WorkerPoolDeps, options: { readonly workers: number; readonly gracefulShutdownTimeoutMs: number }) {
    this.#deps = deps;
    this.#graceMs = options.gracefulShutdownTimeoutMs;
    this.#joined = new JoinedMetrics(options);
    let fail: (reason: string) => void = () => {};
    this.failed = new Promise((resolve) => {
      fail = resolve;
    });
    const numbers = Array.from({ length: options.workers }, (_, index) => index + 1);
    this.#slots = numbers.map(
      (number) =>
        new WorkerSlot(
          { ...deps, fork: () => deps.fork(number), onDeath: () => this.#died(number), onHopeless: (why) => fail(why) },
          { number },
        ),
    );
    deps.metrics.watch(() => this.#slots.filter(({ serving }) => serving !== undefined).length);
  }

  /** Starts one, whose complaint about files and addresses is then told once, and then the others. */
  async start(): Promise<void> {
    const [first, ...others] = this.#slots;
    await first?.start();
    await Promise.all(others.map((slot) => slot.start()));
  }

  /** The workers that do not answer that they are ready. */
  async unready(): Promise<readonly number[]> {
    if (this.#stopped !== undefined) return this.#slots.map(({ number }) => number);
    const answers = await this.#askAll({ what: "ready" });
    return this.#slots.map(({ number }) => number).filter((number) => answers.get(number) !== true);
  }

  /** The workers that serve, and do not answer at all. */
  async silent(): Promise<readonly number[]> {
    const answers = await this.#askAll({ what: "ready" });
    return this.#slots.filter(({ number, serving }) => serving && !answers.has(number)).map(({ number }) => number);
  }

  /** What all count together, and `own` of the primary. */
  async metrics(own: MetricsPage): Promise<MetricsPage> {
    const answers = await this.#askAll({ what: "metrics" }, (number, page) => this.#joined.answered(number, page));
    return this.#joined.page(own, new Set(answers.keys()));
  }

  /** Undefined if there is no such worker, or none that serves. */
  async profile(worker: number, path: string, { query, signal }: HttpQuestion): Promise<HttpAnswer | undefined> {
    const serving = this.#slots.find(({ number }) => number === worker)?.serving;
    return await serving?.ask({ what: "profile", path, query: query.toString() }, { signal });
  }

  stop({ hurry }: { readonly hurry: AbortSignal }): Promise<void> {
    this.#stopped ??= this.#stop(hurry);
    return this.#stopped;
  }

  async #stop(hurry: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const ended = Promise.all(this.#slots.map((slot) => slot.stop()));
    const kill = () => {
      log.warn("workers that have not stopped are killed");
      for (const slot of this.#slots) slot.kill();
    };
    let cancel = clock.after(this.#graceMs + stopSpareMs, kill);
    const hasten = () => {
      for (const slot of this.#slots) slot.send({ kind: "hurry" });
      cancel();
      cancel = clock.after(hurriedStopMs, kill);
    };
    if (hurry.aborted) hasten();
    else hurry.addEventListener("abort", hasten, { once: true });
    await ended;
    cancel();
    log.info("all workers have stopped");
  }

  #died(number: number): void {
    this.#deps.metrics.deaths.inc();
    this.#joined.died(number);
  }

  /** Resolves in bounded time, to the answers of those that gave one; `hear` gets each as it comes. */
  async #askAll<Q extends Question>(
    question: Q,
    hear: (number: number, answer: Answers[Q["what"]]) => void = () => {},
  ): Promise<ReadonlyMap<number, Answers[Q["what"]]>> {
    const late = new AbortController();
    const cancel = this.#deps.clock.after(answerWithinMs, () => late.abort());
    const answers = new Map<number, Answers[Q["what"]]>();
    await Promise.all(
      this.#slots.map(async ({ number, serving }) => {
        const answer = await serving?.ask(question, { signal: late.signal });
        if (answer === undefined) return;
        answers.set(number, answer);
        hear(number, answer);
      }),
    );
    cancel();
    return answers;
  }
}

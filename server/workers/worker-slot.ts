import type { Clock } from "../../shared/clock.ts";
import type { Log } from "../../shared/log.ts";
import { pause } from "../../shared/pause.ts";
import type { ToWorker } from "./messages.ts";
import type { WorkerExit, WorkerProcess } from "./worker-process.ts";

/** One that served so long did not die of its start. */
const steadyAfterMs = 10_000;
/** One that has not begun to serve then hangs. */
const startMaxMs = 60_000;
/** Between a death and the next process, twice as long after each that came soon. */
const backoffMinMs = 250;
/** So many soon deaths in a row are no accident. */
const soonDeathsMax = 5;

/** What is forked: a WorkerProcess, but in tests of this file. */
export type ForkedWorker = Pick<WorkerProcess, keyof WorkerProcess>;

export interface WorkerSlotDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Forks a process, and gives it its orders. */
  readonly fork: () => ForkedWorker;
  readonly onDeath: () => void;
  /** Called once, with what to tell: it does not stay alive. */
  readonly onHopeless: (reason: string) => void;
}

/** The place of one worker: while it runs there is a process in it, or there will be soon. */
export class WorkerSlot {
  readonly number: number;
  readonly #deps: WorkerSlotDeps;
  readonly #stopping = new AbortController();
  #process: ForkedWorker | undefined;
  #servingSince: number | undefined;
  #ended: Promise<void> | undefined;

  constructor(deps: WorkerSlotDeps, options: { readonly number: number }) {
    this.#deps = { ...deps, log: deps.log.child({ worker: options.number }) };
    this.number = options.number;
  }

  /** The process that serves now; undefined while there is none. */
  get serving(): ForkedWorker | undefined {
    return this.#servingSince === undefined ? undefined : this.#process;
  }

  /** Resolves when its first process serves. Rejects if that cannot start. */
  async start(): Promise<void> {
    const first = this.#fork();
    this.#ended = this.#keepAlive(first);
    await first.started;
  }

  /** Tells its process to stop, and forks no other. Resolves when it is gone; never if the process does not obey. */
  stop(): Promise<void> {
    this.#stopping.abort();
    this.send({ kind: "stop" });
    return this.#ended ?? Promise.resolve();
  }

  send(message: ToWorker): void {
    this.#process?.send(message);
  }

  kill(): void {
    this.#process?.kill();
  }

  #fork(): ForkedWorker {
    const { clock, fork, log } = this.#deps;
    const forked = fork();
    this.#process = forked;
    const serve = () => {
      this.#servingSince = clock.now();
      log.info({ pid: forked.pid }, "worker serves");
    };
    const fail = (error: Error) => log.debug({ err: error }, "worker did not start");
    const cancel = clock.after(startMaxMs, () => {
      log.error({ pid: forked.pid }, "worker has not started within 60 s and is killed");
      forked.kill();
    });
    forked.started.then(serve, fail).finally(cancel);
    return forked;
  }

  async #keepAlive(first: ForkedWorker): Promise<void> {
    const { clock, log, onHopeless } = this.#deps;
    let forked = first;
    let soonDeaths = 0;
    for (;;) {
      const exit = await forked.exited;
      const servedMs = clock.now() - (this.#servingSince ?? clock.now());
      this.#process = undefined;
      this.#servingSince = undefined;
      if (this.#stopping.signal.aborted) {
        if (exit.code !== 0) log.warn({ pid: forked.pid, ...exit }, "worker died while it was stopping");
        return;
      }
      soonDeaths = servedMs < steadyAfterMs ? soonDeaths + 1 : 1;
      await this.#report(forked, exit);
      if (soonDeaths === soonDeathsMax) {
        const last = exit.signal ?? (exit.code === null ? "a fork that failed" : `code ${exit.code}`);
        onHopeless(
          `worker ${this.number} died ${soonDeaths} times in a row within 10 s of its start, at last by ${last}`,
        );
        return;
      }
      await pause(clock, backoffMinMs * 2 ** (soonDeaths - 1), { signal: this.#stopping.signal, keepAlive: true });
      if (this.#stopping.signal.aborted) return;
      forked = this.#fork();
    }
  }

  async #report(forked: ForkedWorker, { code, signal }: WorkerExit): Promise<void> {
    const reason = await forked.started.then(
      () => undefined,
      (error: Error) => error.message,
    );
    this.#deps.onDeath();
    this.#deps.log.error({ pid: forked.pid, code, signal, reason }, "worker died; its connections are gone");
  }
}

import type { Counter } from "../../shared/metrics/instruments.ts";
import { countsOf, joinPages, type MetricsPage, type PageFamily } from "../../shared/metrics/page.ts";
import { counter, type Registry, reading } from "../../shared/metrics/registry.ts";

/** What the primary counts itself. */
export class SupervisionMetrics {
  readonly deaths: Counter;
  #serving: () => number = () => 0;

  constructor(registry: Registry) {
    reading(registry, {
      type: "gauge",
      name: "hawser_server_workers",
      help: "Workers that serve, with --workers.",
      read: () => this.#serving(),
    });
    this.deaths = counter(registry, {
      name: "hawser_server_worker_deaths_total",
      help: "Workers that died and were replaced, with --workers.",
    });
  }

  /** From now on shows this number. */
  watch(serving: () => number): void {
    this.#serving = serving;
  }
}

/** Families of a process, which would mean nothing if they were added up: each worker has its own series. */
const ofProcess = /^(?:process|nodejs)_/;

/**
 * The pages of all workers as one. What a worker had counted when it was last asked stays in it when the worker does not answer, or is
 * gone: a sum that falls would look like a restart, and rates would jump. Its gauges are not in it then.
 */
export class JoinedMetrics {
  readonly #workers: number;
  readonly #last = new Map<number, MetricsPage>();
  #gone: MetricsPage = [];

  constructor(options: { readonly workers: number }) {
    this.#workers = options.workers;
  }

  answered(worker: number, page: MetricsPage): void {
    this.#last.set(worker, page);
  }

  died(worker: number): void {
    this.#gone = joinPages([this.#gone, this.#counts(worker)]);
    this.#last.delete(worker);
  }

  /** `answered` are those whose last page is of now. */
  page(own: MetricsPage, answered: ReadonlySet<number>): MetricsPage {
    const inOrder = [...this.#last].sort(([one], [other]) => one - other);
    const pages = inOrder.map(([worker, page]) =>
      answered.has(worker) ? page.map((family) => byProcess(family, String(worker))) : this.#counts(worker),
    );
    const joined = joinPages([own.map((family) => byProcess(family, "primary")), this.#gone, ...pages]);
    return answered.size === this.#workers ? joined : joined.map(leastOfNone);
  }

  #counts(worker: number): MetricsPage {
    return countsOf(this.#last.get(worker) ?? []).filter(({ name }) => !ofProcess.test(name));
  }
}

/** Where a worker is missing, the least that any has is what that one has: nothing. */
function leastOfNone(family: PageFamily): PageFamily {
  if (family.aggregator !== "min" || ofProcess.test(family.name)) return family;
  return { ...family, values: family.values.map((sample) => ({ ...sample, value: 0 })) };
}

function byProcess(family: PageFamily, worker: string): PageFamily {
  if (!ofProcess.test(family.name)) return family;
  return { ...family, values: family.values.map((sample) => ({ ...sample, labels: { worker, ...sample.labels } })) };
}

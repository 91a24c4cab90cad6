import { collectDefaultMetrics, type Metric, Registry } from "prom-client";
import { Counter, Gauge, Histogram, type Instrument } from "./instruments.ts";

export { Registry } from "prom-client";

export const expositionContentType: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** How the values of several processes become one, by prom-client's names. */
export type Aggregator = "sum" | "min" | "max";

/** A registry of its own for each half of a process, with `hawser_build_info` in it. */
export function openRegistry(options: { readonly version: string }): Registry {
  const registry = new Registry();
  const build = new Family(registry, {
    type: "gauge",
    name: "hawser_build_info",
    help: "Always 1; the labels tell the version of this program and of Node.",
    aggregator: "max",
    labels: ["version", "node"],
    create: () => new Gauge(),
  });
  build.labelled({ version: options.version, node: process.version }).set(1);
  return registry;
}

/**
 * Adds `process_*` and `nodejs_*`. Once a process, from main: prom-client's observers of the event loop and of garbage
 * collection cannot be taken away again.
 */
export function addProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
}

/** The whole page in Prometheus' text format. As in Go, families stand in order of name, and one without samples is left out. */
export async function expose(registry: Registry): Promise<string> {
  // In order of registration, because some of prom-client's own families are collected by the one before them.
  const pages = await Promise.all(
    registry
      .getMetricsAsArray()
      .map(async ({ name }) => ({ name, text: await registry.getSingleMetricAsString(name) })),
  );
  return pages
    .filter(({ text }) => text.split("\n").length > headLineCount)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ text }) => `${text}\n`)
    .join("");
}

/** HELP and TYPE. */
const headLineCount = 2;

interface FamilyOptions<Label extends string, I extends Instrument> extends Named {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly Label[];
  readonly create: () => I;
}

/**
 * One metric family. Its instruments are plain numbers that whoever counts changes directly; they are turned into samples
 * when the page is asked for.
 */
export class Family<Label extends string, I extends Instrument> {
  readonly #options: FamilyOptions<Label, I>;
  readonly #children = new Map<string, { readonly labels: Readonly<Record<Label, string>>; readonly instrument: I }>();

  constructor(registry: Registry, options: FamilyOptions<Label, I>) {
    this.#options = options;
    const { name, help, type, aggregator = "sum" } = options;
    // Of a metric, the registry asks its name and `get`; prom-client's own classes would hash labels at each count.
    const metric = {
      name,
      labelNames: [...options.labels],
      get: async () => ({ name, help, type, aggregator, values: this.#values() }),
    };
    registry.registerMetric(metric as unknown as Metric);
  }

  /** The instrument for these values, the same at each call. Values must come from a bounded set: each is kept for ever. */
  labelled(labels: Readonly<Record<Label, string>>): I {
    const key = JSON.stringify(this.#options.labels.map((label) => labels[label]));
    const known = this.#children.get(key);
    if (known !== undefined) return known.instrument;
    const instrument = this.#options.create();
    this.#children.set(key, { labels, instrument });
    return instrument;
  }

  #values() {
    return [...this.#children.values()].flatMap(({ labels, instrument }) =>
      instrument.samples().map((sample) => ({
        metricName: this.#options.name + sample.suffix,
        labels: { ...labels, ...sample.labels },
        value: sample.value,
      })),
    );
  }
}

interface Named {
  readonly name: string;
  readonly help: string;
  /** How the values of several workers become one; they are added if left out. */
  readonly aggregator?: Aggregator;
}

/** A family without labels that holds one counter, shown from the start on. */
export const counter = (registry: Registry, named: Named): Counter =>
  alone(registry, "counter", named, () => new Counter({ fromStart: true }));

/** A family without labels that holds one gauge, shown from the start on. */
export const gauge = (registry: Registry, named: Named): Gauge =>
  alone(registry, "gauge", named, () => new Gauge({ fromStart: true }));

/** A family without labels that holds one histogram, shown from its first observation on. */
export const histogram = (registry: Registry, named: Named & { readonly bounds: readonly number[] }): Histogram =>
  alone(registry, "histogram", named, () => new Histogram(named.bounds));

function alone<I extends Instrument>(
  registry: Registry,
  type: FamilyOptions<never, I>["type"],
  { name, help, aggregator = "sum" }: Named,
  create: () => I,
): I {
  return new Family<never, I>(registry, { type, name, help, aggregator, labels: [], create }).labelled({});
}

/** A family without labels whose value is read when the page is asked for; left out while `read` gives undefined. */
export function reading(
  registry: Registry,
  { read, ...named }: Named & { readonly type: "counter" | "gauge"; readonly read: () => number | undefined },
): void {
  readings(registry, {
    ...named,
    labels: [],
    read() {
      const value = read();
      return value === undefined ? [] : [{ labels: {}, value }];
    },
  });
}

/** One sample of a family by labels. */
export interface Reading<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly value: number;
}

/** A family whose samples, labels and all, are read when the page is asked for; nothing is kept of those that go away. */
export function readings<Label extends string>(
  registry: Registry,
  options: Named & {
    readonly type: "counter" | "gauge";
    readonly labels: readonly Label[];
    readonly read: () => readonly Reading<Label>[];
  },
): void {
  const { type, name, help, aggregator = "sum", labels: labelNames, read } = options;
  const values = () => read().map(({ labels, value }) => ({ metricName: name, labels, value }));
  const get = async () => ({ name, help, type, aggregator, values: values() });
  const metric = { name, labelNames: [...labelNames], get };
  registry.registerMetric(metric as unknown as Metric);
}

/** A family of counters by one or more labels, each shown once it has counted. */
export const counters = <Label extends string>(
  registry: Registry,
  named: Named & { readonly labels: readonly Label[] },
): Family<Label, Counter> => new Family(registry, { type: "counter", ...named, create: () => new Counter() });

/** A family of gauges by one or more labels, each shown once it has been touched. */
export const gauges = <Label extends string>(
  registry: Registry,
  named: Named & { readonly labels: readonly Label[] },
): Family<Label, Gauge> => new Family(registry, { type: "gauge", ...named, create: () => new Gauge() });

/** What `make` gives for each value, by value: instruments of a family resolved once, ahead of their use. */
export function byValue<Value extends string, I extends Instrument>(
  values: readonly Value[],
  make: (value: Value) => I,
): Readonly<Record<Value, I>> {
  return Object.fromEntries(values.map((value) => [value, make(value)])) as Record<Value, I>;
}

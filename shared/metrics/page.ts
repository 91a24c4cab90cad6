import { type Aggregator, expose, Registry } from "./registry.ts";

interface PageSample {
  /** With the suffix of a histogram's; the family's name where left out. */
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export interface PageFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  /** Sum if left out. */
  readonly aggregator?: string;
  readonly values: readonly PageSample[];
}

/** All that one process counts, as data that another one understands. */
export type MetricsPage = readonly PageFamily[];

export async function pageOf(registry: Registry): Promise<MetricsPage> {
  return (await registry.getMetricsAsJSON()) as unknown as MetricsPage;
}

/** In Prometheus' text format. */
export function exposePage(page: MetricsPage): Promise<string> {
  const registry = new Registry();
  for (const family of page) registry.registerMetric({ name: family.name, get: async () => family } as never);
  return expose(registry);
}

const joins: Readonly<Record<Aggregator, (one: number, other: number) => number>> = {
  sum: (one, other) => one + other,
  min: Math.min,
  max: Math.max,
};

/** One page of several: samples with the same labels become one, as their family says. */
export function joinPages(pages: readonly MetricsPage[]): MetricsPage {
  const joined = new Map<string, { readonly family: PageFamily; readonly samples: Map<string, PageSample> }>();
  for (const family of pages.flat()) {
    const known = joined.get(family.name) ?? { family, samples: new Map<string, PageSample>() };
    joined.set(family.name, known);
    const join = joins[family.aggregator as Aggregator] ?? joins.sum;
    for (const sample of family.values) {
      const key = JSON.stringify([sample.metricName, Object.entries(sample.labels).sort()]);
      const other = known.samples.get(key);
      known.samples.set(key, other === undefined ? sample : { ...sample, value: join(other.value, sample.value) });
    }
  }
  return [...joined.values()].map(({ family, samples }) => ({ ...family, values: [...samples.values()] }));
}

/** The part that a process has counted for good, and that must not be missed when it is gone: else rates would see a reset. */
export const countsOf = (page: MetricsPage): MetricsPage =>
  page.filter(({ type }) => type === "counter" || type === "histogram");

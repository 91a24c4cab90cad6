import { expect, it } from "vitest";
import { countsOf, exposePage, joinPages, type MetricsPage, pageOf } from "../../../../shared/metrics/page.ts";
import {
  type Aggregator,
  counter,
  expose,
  gauge,
  histogram,
  openRegistry,
  readings,
} from "../../../../shared/metrics/registry.ts";

interface Figures {
  readonly counted: number;
  readonly least: number;
  readonly most: number;
  readonly seconds: readonly number[];
  readonly agents: Readonly<Record<string, number>>;
}

async function page({ counted, least, most, seconds, agents }: Figures): Promise<MetricsPage> {
  const registry = openRegistry({ version: "1.2.3" });
  counter(registry, { name: "a_total", help: "A." }).inc(counted);
  const one = (name: string, aggregator: Aggregator, value: number) =>
    gauge(registry, { name, help: "G.", aggregator }).set(value);
  one("b_least", "min", least);
  one("b_most", "max", most);
  const observed = histogram(registry, { name: "c_seconds", help: "C.", bounds: [0.00001, 1] });
  for (const value of seconds) observed.observe(value);
  readings(registry, {
    type: "gauge",
    name: "d",
    help: "D.",
    labels: ["agent"],
    read: () => Object.entries(agents).map(([agent, value]) => ({ labels: { agent }, value })),
  });
  return await pageOf(registry);
}

const some = () => page({ counted: 2, least: 1, most: 5, seconds: [0.5], agents: { x: 1, y: 2 } });
const others = () => page({ counted: 3, least: 4, most: 3, seconds: [0.5, 9], agents: { y: 3, z: 4 } });

const valuesOf = (pages: MetricsPage) =>
  Object.fromEntries(pages.map(({ name, values }) => [name, values.map(({ value }) => value)]));

it("one page alone is exposed as its registry is", async () => {
  const registry = openRegistry({ version: "1.2.3" });
  histogram(registry, { name: "c_seconds", help: "C.", bounds: [0.00001, 1] }).observe(0.5);
  expect(await exposePage(await pageOf(registry))).toBe(await expose(registry));
});

it("two pages add what has the same labels, but for what is the least or the most of them", async () => {
  const joined = joinPages([await some(), await others()]);
  expect(valuesOf(joined)).toEqual({
    hawser_build_info: [1],
    a_total: [5],
    b_least: [1],
    b_most: [5],
    c_seconds: [0, 2, 3, 10, 3],
    d: [1, 5, 4],
  });
  expect(await exposePage(joined)).toContain('c_seconds_bucket{le="1e-05"} 0\nc_seconds_bucket{le="1"} 2\n');
});

it("the counts of a page are its counters and histograms", async () => {
  expect(countsOf(await some()).map(({ name }) => name)).toEqual(["a_total", "c_seconds"]);
});

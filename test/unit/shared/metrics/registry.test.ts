import { describe, expect, it } from "vitest";
import { goFloat, Histogram } from "../../../../shared/metrics/instruments.ts";
import {
  addProcessMetrics,
  counter,
  counters,
  expose,
  gauge,
  gauges,
  histogram,
  openRegistry,
} from "../../../../shared/metrics/registry.ts";
import { parseExposition } from "./exposition.ts";

const open = () => openRegistry({ version: "1.2.3" });
const build = `# HELP hawser_build_info Always 1; the labels tell the version of this program and of Node.
# TYPE hawser_build_info gauge
hawser_build_info{version="1.2.3",node="${process.version}"} 1
`;

describe("the page", () => {
  it("holds the build from the start, and no family without samples", async () => {
    const registry = open();
    counters(registry, { name: "a_total", help: "A.", labels: ["x"] }).labelled({ x: "never" });
    gauges(registry, { name: "b", help: "B.", labels: ["x"] }).labelled({ x: "never" });
    histogram(registry, { name: "c_seconds", help: "C.", bounds: [1] });
    expect(await expose(registry)).toBe(build);
  });

  it("holds single counters and gauges from the start", async () => {
    const registry = open();
    gauge(registry, { name: "z", help: "Z." });
    counter(registry, { name: "a_total", help: "A." });
    expect(await expose(registry)).toBe(
      `# HELP a_total A.\n# TYPE a_total counter\na_total 0\n${build}# HELP z Z.\n# TYPE z gauge\nz 0\n`,
    );
  });

  it("keeps a labelled gauge that is back at 0", async () => {
    const registry = open();
    const family = gauges(registry, { name: "z", help: "Z.", labels: ["x"] });
    family.labelled({ x: "1" }).inc();
    family.labelled({ x: "1" }).dec();
    expect(await expose(registry)).toContain('\nz{x="1"} 0\n');
  });

  it("counts under the same labels in one place, in the order of the declaration", async () => {
    const registry = open();
    const family = counters(registry, { name: "z_total", help: "Z.", labels: ["a", "b"] });
    family.labelled({ a: "1", b: "2" }).inc(4);
    family.labelled({ b: "2", a: "1" }).inc();
    family.labelled({ a: "1,", b: "2" }).inc();
    const samples = parseExposition(await expose(registry)).get("z_total")?.samples;
    expect(samples?.map(({ labels, value }) => [labels.a, labels.b, value])).toEqual([
      ["1", "2", 5],
      ["1,", "2", 1],
    ]);
  });

  it("escapes what a label may hold", async () => {
    const registry = open();
    counters(registry, { name: "z_total", help: "Z.", labels: ["x"] })
      .labelled({ x: 'a"b\\c\nd' })
      .inc();
    const page = await expose(registry);
    expect(page).toContain('z_total{x="a\\"b\\\\c\\nd"} 1\n');
    expect(parseExposition(page).size).toBe(2);
  });

  it("holds what is known of the process", async () => {
    const registry = open();
    addProcessMetrics(registry);
    // prom-client's spelling for the lag of an event loop that has not been measured yet; Prometheus reads it as NaN.
    const families = parseExposition((await expose(registry)).replaceAll(/ Nan$/gm, " NaN"));
    const cpu = families.get("process_cpu_seconds_total")?.samples[0]?.value;
    expect(cpu).toBeGreaterThan(0);
    for (const name of ["process_start_time_seconds", "process_resident_memory_bytes", "process_open_fds"]) {
      expect(families.get(name)?.samples[0]?.value).toBeGreaterThan(0);
    }
  });

  it("does not know what another registry counts", async () => {
    const [first, second] = [open(), open()];
    counter(first, { name: "a_total", help: "A." }).inc();
    counter(second, { name: "a_total", help: "A." });
    expect(await expose(second)).toContain("\na_total 0\n");
  });
});

describe("a histogram", () => {
  it("counts a value at a bound below it, and what exceeds all bounds under infinity alone", () => {
    const instrument = new Histogram([0.000001, 0.5, 10]);
    for (const value of [0, 0.000001, 0.0000011, 0.5, 10, 10.5, 1000]) instrument.observe(value);
    expect(instrument.samples().map(({ suffix, labels, value }) => [suffix, labels.le, value])).toEqual([
      ["_bucket", "1e-06", 2],
      ["_bucket", "0.5", 4],
      ["_bucket", "10", 5],
      ["_bucket", "+Inf", 7],
      ["_sum", undefined, expect.closeTo(1021.0000021, 6)],
      ["_count", undefined, 7],
    ]);
  });
});

it.each([
  [0, "0"],
  [1e-7, "1e-07"],
  [0.000001, "1e-06"],
  [0.00001, "1e-05"],
  [0.0001, "0.0001"],
  [0.00012, "0.00012"],
  [0.025, "0.025"],
  [12.5, "12.5"],
  [86_400, "86400"],
  [999_999, "999999"],
  [1_000_000, "1e+06"],
  [1_234_567, "1.234567e+06"],
  [Infinity, "+Inf"],
])("%d is printed as Go prints it, %s", (value, text) => {
  expect(goFloat(value)).toBe(text);
});

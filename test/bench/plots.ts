// ECharts draws SVG as text, with no browser, no DOM and nothing built, and brings two packages; Vega would bring some fifty.
import { BarChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { cpuOf, type Group, type Results, type ScenarioResult, type WayResult } from "./results.ts";

export interface Plot {
  readonly group: Group;
  readonly title: string;
  readonly file: string;
  readonly svg: string;
}

use([BarChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const width = 900;
const rowHeight = 18;
const frameHeight = 130;
/** By pair: the reference grey, Hawser blue, darker for CONNECT. What is not here is not drawn. */
const colours: Readonly<Record<string, string>> = {
  "reference, gRPC": "#b8bcc2",
  "Hawser, gRPC": "#7eb6e8",
  "reference, CONNECT": "#7d838c",
  "Hawser, CONNECT": "#2a6fb0",
  "Hawser, CONNECT, 2 workers": "#174a7a",
  "TLS relay in Node": "#d9a441",
};

/** A plot of the figures for each group and unit, and one of the CPU time where there is such. */
export function plotsOf({ scenarios }: Results): Plot[] {
  const keys = [...new Set(scenarios.map(({ group, unit }) => `${group}\n${unit}`))];
  return keys.flatMap((key) => {
    const [group, unit] = key.split("\n") as [Group, string];
    const own = scenarios.filter((scenario) => scenario.group === group && scenario.unit === unit);
    const better = own[0]?.better === "more" ? "more" : "less";
    const figures = plot(group, `${unit} (${better} is better)`, unit, own, ({ figure }) => figure.median);
    const work = own.find((scenario) => scenario.work)?.work;
    if (work === undefined) return [figures];
    return [figures, plot(group, `CPU seconds per ${work}, server + agent (less is better)`, "cpu", own, cpuOf)];
  });
}

function plot(
  group: Group,
  what: string,
  suffix: string,
  scenarios: readonly ScenarioResult[],
  figureOf: (way: WayResult) => number | undefined,
): Plot {
  // Next to a direct connection everything else would be a stub.
  const ways = [...new Set(scenarios.flatMap(({ ways }) => Object.keys(ways)))].filter((way) => way in colours);
  const title = `${group}: ${what}`;
  const height = frameHeight + rowHeight * scenarios.length * (ways.length + 1);
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    title: { text: title, left: 10, top: 8, textStyle: { fontSize: 15 } },
    // Widths of text are guessed without a browser; the gaps have room for the error.
    legend: { bottom: 8, itemGap: 32, data: ways },
    grid: { left: 250, right: 60, top: 45, bottom: 65 },
    xAxis: { type: "value" },
    yAxis: { type: "category", inverse: true, data: scenarios.map(({ name }) => name), axisTick: { show: false } },
    series: ways.map((way) => ({
      type: "bar",
      name: way,
      barCategoryGap: "20%",
      itemStyle: { color: colours[way] },
      label: { show: true, position: "right", fontSize: 10 },
      data: scenarios.map((scenario) => {
        const result = scenario.ways[way];
        const value = result && figureOf(result);
        return value === undefined ? null : Number(value.toPrecision(3));
      }),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  const file = `${`${group} ${suffix}`
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")}.svg`;
  return { group, title, file, svg };
}

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { AgentMetrics } from "../../agent/metrics.ts";
import { ServerMetrics } from "../../server/metrics.ts";
import { SupervisionMetrics } from "../../server/workers/worker-metrics.ts";
import { openRegistry, type Registry } from "../../shared/metrics/registry.ts";
import { repositoryRoot } from "../support/repository-root.ts";

const path = join(repositoryRoot, "docs/metrics.md");
const generatedPart = /(?<=<!-- families: [^\n]* -->\n).*(?=<!-- end of families -->)/s;

interface Described {
  readonly name: string;
  readonly labelNames: readonly string[];
  get(): Promise<{ readonly help: string; readonly type: string }>;
}

/** Hawser's own families of one half. */
const ownFamilies = ({ registry }: { readonly registry: Registry }) =>
  (registry.getMetricsAsArray() as unknown as Described[]).filter(({ name }) => name.startsWith("hawser_"));

const supervision = openRegistry({ version: "" });
new SupervisionMetrics(supervision);

const families = [
  ...ownFamilies(new ServerMetrics({ version: "" })),
  ...ownFamilies({ registry: supervision }),
  ...ownFamilies(new AgentMetrics({ version: "" })),
];

async function row({ name, labelNames, get }: Described): Promise<string> {
  const { help, type } = await get();
  return `| \`${name}\` | ${type} | ${labelNames.map((label) => `\`${label}\``).join(", ")} | ${help} |`;
}

async function table(): Promise<string> {
  const rows = [...new Set(await Promise.all(families.map(row)))].sort();
  return ["", "| family | type | labels | meaning |", "|---|---|---|---|", ...rows, "", ""].join("\n");
}

it("docs/metrics.md has every family of ours, as the registry says it", async () => {
  const written = readFileSync(path, "utf8").replace(generatedPart, await table());
  if (process.env.UPDATE_DOCS === "1") writeFileSync(path, written);
  expect(readFileSync(path, "utf8")).toBe(written);
  expect(written).toContain("| `hawser_server_held_bytes` | gauge |");
});

it("docs/metrics.md asks in its alerts for families that exist, by labels that they have", () => {
  const page = readFileSync(path, "utf8");
  const asked = [...page.matchAll(/expr: .*/g)].flatMap(([line]) => [
    ...line.matchAll(/(hawser_\w+)(?:\{(\w+)[=!])?/g),
  ]);
  expect(asked.length).toBeGreaterThan(5);
  for (const [, name, label] of asked) {
    const family = families.find((candidate) => candidate.name === name);
    expect(family?.name).toBe(name);
    if (label !== undefined) expect(family?.labelNames).toContain(label);
  }
});

/** One family of a scrape. */
export interface MetricFamily {
  readonly help: string;
  readonly type: string;
  /** Names of the labels that its samples carry, sorted. Empty without a sample. */
  readonly labels: readonly string[];
  /** Upper bounds of its buckets as they are printed, in their order; empty but for a histogram. */
  readonly bounds: readonly string[];
}

/** The families of a page in the Prometheus text format by name. Throws on a sample before its family's TYPE line. */
export function familiesOf(page: string): ReadonlyMap<string, MetricFamily> {
  const families = new Map<string, { help: string; type: string; labels: Set<string>; bounds: Set<string> }>();
  const familyOf = (name: string) => {
    const found = families.get(name) ?? { help: "", type: "", labels: new Set<string>(), bounds: new Set<string>() };
    families.set(name, found);
    return found;
  };
  for (const line of page.split("\n").filter((line) => line !== "")) {
    const [, kind, named = "", text = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    if (kind === "HELP") familyOf(named).help = text;
    else if (kind === "TYPE") familyOf(named).type = text;
    else {
      const [, sample = "", labelText = ""] = /^([^{ ]+)(?:\{(.*)\})? /.exec(line) ?? [];
      const family = families.get(sample) ?? families.get(sample.replace(/_(bucket|sum|count)$/, ""));
      if (family === undefined) throw new Error(`a sample without a TYPE line: ${line}`);
      for (const [, label = "", value = ""] of labelText.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
        if (label === "le" && family.type === "histogram") family.bounds.add(value);
        else family.labels.add(label);
      }
    }
  }
  return new Map(
    [...families].map(([name, { help, type, labels, bounds }]) => [
      name,
      { help, type, labels: [...labels].sort(), bounds: [...bounds] },
    ]),
  );
}

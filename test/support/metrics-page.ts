export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One scrape in the Prometheus text format. Histograms appear under their `_bucket`, `_sum` and `_count` names. */
export class MetricsPage {
  readonly samples: readonly Sample[];

  /** Throws on a line that is neither a comment nor a sample. */
  constructor(text: string) {
    this.samples = text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map(parseSample);
  }

  /** The sum over all samples of the family that carry the given labels; undefined if there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const wanted = Object.entries(labels);
    const found = this.samples.filter(
      (sample) => sample.name === name && wanted.every(([label, value]) => sample.labels[label] === value),
    );
    return found.length === 0 ? undefined : found.reduce((total, { value }) => total + value, 0);
  }
}

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const labelPair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?/g;
const escapes: Readonly<Record<string, string>> = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };
// Read as Go's ParseFloat reads them, in any case: prom-client writes "Nan".
const special: Readonly<Record<string, number>> = { "+inf": Infinity, "-inf": -Infinity, nan: Number.NaN };

function parseSample(line: string): Sample {
  const [, name, labelText = "", valueText = ""] = sampleLine.exec(line) ?? [];
  const value = special[valueText.toLowerCase()] ?? Number(valueText);
  if (name === undefined || (Number.isNaN(value) && valueText.toLowerCase() !== "nan"))
    throw new Error(`not a sample: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, label = "", raw = ""] of labelText.matchAll(labelPair)) {
    labels[label] = raw.replace(/\\[n"\\]/g, (sequence) => escapes[sequence] ?? sequence);
  }
  return { name, labels, value };
}

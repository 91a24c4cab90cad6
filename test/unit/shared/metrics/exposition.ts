export interface ParsedFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

const metricName = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const headLine = new RegExp(`^# (HELP|TYPE) (${metricName}) (.+)$`);
const sampleLine = new RegExp(`^(${metricName})(?:\\{(.+)\\})? (\\S+)$`);
const labelPair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,(?=[a-zA-Z_])|$)/gy;
const number = /^(?:[+-]?\d+(?:\.\d+)?(?:e[+-]\d+)?|[+-]Inf|NaN)$/i;
const suffixes = { counter: [""], gauge: [""], histogram: ["_bucket", "_sum", "_count"] } as const;

/**
 * Reads a page strictly: every family has HELP, then TYPE, then samples, once; no sample stands twice; histograms are
 * complete and cumulative. Throws on anything else.
 */
export function parseExposition(page: string): ReadonlyMap<string, ParsedFamily> {
  if (!page.endsWith("\n")) throw new Error("the last line does not end");
  const lines = page.slice(0, -1).split("\n");
  const families = new Map<string, ParsedFamily>();
  let index = 0;
  while (index < lines.length) {
    const [name, help] = head("HELP", lines[index]);
    const [typeName, type] = head("TYPE", lines[index + 1]);
    if (name !== typeName || families.has(name)) throw new Error(`family ${name} is not of one piece`);
    if (!isType(type)) throw new Error(`family ${name} is of type ${type}`);
    index += 2;
    const samples: ReturnType<typeof sample>[] = [];
    for (; index < lines.length && !lines[index]?.startsWith("#"); index += 1) samples.push(sample(lines[index] ?? ""));
    const family = { type, help, samples };
    check(name, type, family);
    families.set(name, family);
  }
  return families;
}

const isType = (type: string): type is keyof typeof suffixes => Object.hasOwn(suffixes, type);

function head(kind: string, line = ""): readonly [name: string, text: string] {
  const [, found, name, text] = headLine.exec(line) ?? [];
  if (found !== kind || name === undefined || text === undefined) throw new Error(`not a ${kind} line: ${line}`);
  return [name, text];
}

function sample(line: string) {
  const [, name = "", labelText = "", valueText = ""] = sampleLine.exec(line) ?? [];
  if (!number.test(valueText)) throw new Error(`not a sample: ${line}`);
  const pairs = [...labelText.matchAll(labelPair)];
  if (pairs.map(([pair]) => pair).join("") !== labelText) throw new Error(`not a list of labels: ${line}`);
  const labels = Object.fromEntries(pairs.map(([, label, value]) => [label, value]));
  if (Object.keys(labels).length !== pairs.length) throw new Error(`a label stands twice: ${line}`);
  return { name, labels, value: Number(valueText.replace("Inf", "Infinity")) };
}

function check(name: string, type: keyof typeof suffixes, { samples }: ParsedFamily): void {
  if (samples.length === 0) throw new Error(`family ${name} has no samples`);
  const names: readonly string[] = suffixes[type].map((suffix) => name + suffix);
  const seen = new Set<string>();
  for (const sample of samples) {
    if (!names.includes(sample.name)) throw new Error(`sample ${sample.name} stands in family ${name}`);
    const key = sample.name + JSON.stringify(Object.entries(sample.labels).sort());
    if (seen.has(key)) throw new Error(`sample ${key} stands twice`);
    seen.add(key);
    if (type === "counter" && !(sample.value >= 0)) throw new Error(`counter ${name} is ${sample.value}`);
  }
  if (type === "histogram") checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: ParsedFamily["samples"]): void {
  const groups = new Map<string, ParsedFamily["samples"][number][]>();
  for (const sample of samples) {
    const { le: _le, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => Number(labels.le?.replace("Inf", "Infinity")));
    const rising = (values: readonly number[], strictly: boolean): boolean =>
      values.every((value, at) => at === 0 || value > (values[at - 1] ?? 0) || (!strictly && value === values[at - 1]));
    const complete =
      bounds.at(-1) === Infinity &&
      rising(bounds, true) &&
      rising(
        buckets.map(({ value }) => value),
        false,
      ) &&
      group.find((sample) => sample.name === `${name}_count`)?.value === buckets.at(-1)?.value &&
      group.some((sample) => sample.name === `${name}_sum`);
    if (!complete) throw new Error(`histogram ${name}${key} is not complete`);
  }
}

/** The families of the contract's own prefix, or of whatever else a name begins with. */
export function familiesOf(page: string, prefix: string): Readonly<Record<string, ParsedFamily>> {
  const all = [...parseExposition(page)].filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(all.map(([name, family]) => [name.slice(prefix.length), family]));
}

/** What a table of the contract says of a family; for a histogram `buckets` as the page prints them. */
export interface FamilyRow {
  readonly type: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly string[];
  readonly help: string | RegExp;
}

/** A family as a row: the labels that its samples carry, and the bounds of its buckets. */
export function rowOf({ type, help, samples }: ParsedFamily): FamilyRow {
  const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
  const buckets = samples.flatMap((sample) => sample.labels.le ?? []);
  labels.delete("le");
  return { type, help, labels: [...labels].sort(), ...(buckets.length > 0 && { buckets: [...new Set(buckets)] }) };
}

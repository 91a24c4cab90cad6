/** One sample of a family, without the family's name and labels. */
export interface Sample {
  /** What the name ends with besides the family's: empty, or `_bucket`, `_sum`, `_count` of a histogram. */
  readonly suffix: string;
  /** In addition to the labels that the family gives. */
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What a family holds per set of label values. `samples` is empty until there is something to show. */
export interface Instrument {
  samples(): readonly Sample[];
}

const plain = (value: number): readonly Sample[] => [{ suffix: "", labels: {}, value }];

/** Goes up only. Shown once it is above 0, or from the start on. */
export class Counter implements Instrument {
  #value = 0;
  readonly #fromStart: boolean;

  constructor(options: { readonly fromStart?: boolean } = {}) {
    this.#fromStart = options.fromStart ?? false;
  }

  inc(by = 1): void {
    this.#value += by;
  }

  samples(): readonly Sample[] {
    return this.#fromStart || this.#value > 0 ? plain(this.#value) : [];
  }
}

/** Goes up and down. Shown once it has been touched, or from the start on. */
export class Gauge implements Instrument {
  #value = 0;
  #shown: boolean;

  constructor(options: { readonly fromStart?: boolean } = {}) {
    this.#shown = options.fromStart ?? false;
  }

  set(value: number): void {
    this.#value = value;
    this.#shown = true;
  }

  inc(): void {
    this.set(this.#value + 1);
  }

  dec(): void {
    this.set(this.#value - 1);
  }

  samples(): readonly Sample[] {
    return this.#shown ? plain(this.#value) : [];
  }
}

/** Counts observations by the first bound that is not below them. Shown once there is one. */
export class Histogram implements Instrument {
  readonly #bounds: readonly number[];
  /** Per bound, not cumulated; the last is for what exceeds every bound. */
  readonly #counts: Float64Array;
  #sum = 0;

  /** `bounds` in rising order, in the unit that the family's name ends with, without infinity. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (value > (bounds[index] ?? Infinity)) index += 1;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  samples(): readonly Sample[] {
    let count = 0;
    const buckets = Array.from(this.#counts, (inBucket, index): Sample => {
      count += inBucket;
      return { suffix: "_bucket", labels: { le: goFloat(this.#bounds[index] ?? Infinity) }, value: count };
    });
    if (count === 0) return [];
    return [
      ...buckets,
      { suffix: "_sum", labels: {}, value: this.#sum },
      { suffix: "_count", labels: {}, value: count },
    ];
  }
}

/**
 * A bound as Go prints it, because existing queries and dashboards match on that text: an exponent of two digits below
 * 0.0001 and from 1e+06 on. Source: strconv.FormatFloat(x, 'g', -1, 64), as Prometheus' Go client uses it.
 */
export function goFloat(value: number): string {
  if (value === Infinity) return "+Inf";
  const [mantissa = "", exponentText = ""] = value.toExponential().split("e");
  const exponent = Number(exponentText);
  if (value === 0 || (exponent >= -4 && exponent < 6)) return String(value);
  return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

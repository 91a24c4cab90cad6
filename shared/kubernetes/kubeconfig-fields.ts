import { UsageError } from "../errors.ts";

/** One mapping of a kubeconfig. It knows where it stands, so that every complaint names the file and the field. */
export class KubeconfigFields {
  readonly #file: string;
  readonly #path: string;
  readonly #values: Readonly<Record<string, unknown>>;

  /** `path` is where the mapping stands in the file, empty for the whole of it. Throws a UsageError if `value` is no mapping. */
  constructor(file: string, path: string, value: unknown) {
    this.#file = file;
    this.#path = path;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new UsageError(`kubeconfig ${file}: ${path === "" ? "it" : path} must be a mapping`);
    }
    this.#values = value as Readonly<Record<string, unknown>>;
  }

  /** Throws a UsageError about one field. */
  fail(name: string, problem: string): never {
    throw new UsageError(`kubeconfig ${this.#file}: ${this.#at(name)} ${problem}`);
  }

  /** Whether the field is there with any value but null and false. */
  has(name: string): boolean {
    const value = this.#values[name];
    return value !== undefined && value !== null && value !== false;
  }

  /** Undefined if the field is missing or empty. */
  text(name: string): string | undefined {
    const value = this.#values[name] ?? "";
    if (typeof value !== "string") this.fail(name, "must be text; put it in quotes");
    return value === "" ? undefined : value;
  }

  /** False if the field is missing. */
  flag(name: string): boolean {
    const value = this.#values[name] ?? false;
    if (typeof value !== "boolean") this.fail(name, "must be true or false");
    return value;
  }

  /**
   * What the list `name` holds under `key` for the entry that is called `wanted`:
   * of `clusters: [{ name: a, cluster: {...} }]` the inner mapping.
   */
  entry(name: string, key: string, wanted: string): KubeconfigFields {
    const list = this.#values[name] ?? [];
    if (!Array.isArray(list)) this.fail(name, "must be a list");
    const entries = list.map((item, index) => new KubeconfigFields(this.#file, `${this.#at(name)}[${index}]`, item));
    const found = entries.find((entry) => entry.text("name") === wanted);
    if (found === undefined) {
      const names = entries.map((entry) => entry.text("name") ?? "").join(", ");
      this.fail(name, `has no "${wanted}"; it has ${names === "" ? "none" : names}`);
    }
    return new KubeconfigFields(this.#file, `${this.#at(name)}[${wanted}].${key}`, found.#values[key] ?? {});
  }

  #at(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }
}

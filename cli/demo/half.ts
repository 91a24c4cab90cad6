import { fetchPage, sumOfSamples } from "../client/metrics.ts";
import { Child } from "./child.ts";
import { poll } from "./poll.ts";
import { Mismatch } from "./story.ts";

/** A proxy server or proxy agent as a process, with its health listener on 127.0.0.1. */
export class Half {
  readonly child: Child;
  readonly healthUrl: string;
  readonly #prefix: string;

  constructor(
    role: "server" | "agent",
    start: {
      readonly name: string;
      readonly script: string;
      readonly args: readonly string[];
      readonly healthPort: number;
    },
  ) {
    this.child = new Child(start.name, start.script, start.args);
    this.healthUrl = `http://127.0.0.1:${start.healthPort}`;
    this.#prefix = `konnectivity_network_proxy_${role}_`;
  }

  get name(): string {
    return this.child.name;
  }

  /** Resolves once the path answers 200. Rejects when the process ends, and with the signal's reason. */
  async answersOk(path: "/healthz" | "/readyz", { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const alive = AbortSignal.any([signal, this.child.gone]);
    const ask = async () => {
      const { status } = await fetchPage(this.healthUrl + path, { signal: alive });
      return status === 200 ? true : undefined;
    };
    await poll(ask, { signal: alive });
  }

  /**
   * Reads gauges from one scrape of its metrics page, each named without the prefix; `name{label="value"}` reads samples with that
   * label. Rejects with a Mismatch if one is not there.
   */
  async gauges<Name extends string>(
    names: readonly Name[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Record<Name, number>> {
    const page = await this.#metricsPage(signal);
    const entries = names.map((name) => {
      const [, family = "", label, value = ""] = /^(\w+)(?:\{(\w+)="(.*)"\})?$/.exec(name) ?? [];
      const sum = sumOfSamples(page, this.#prefix + family, label === undefined ? {} : { [label]: value });
      if (sum === undefined) throw new Mismatch(`${this.name} has no metric ${name}`);
      return [name, sum] as const;
    });
    return Object.fromEntries(entries) as Record<Name, number>;
  }

  /** How many observations a histogram, named without the prefix, has. One that has seen nothing is not on the page. */
  async observations(histogram: string, { signal }: { readonly signal: AbortSignal }): Promise<number> {
    return sumOfSamples(await this.#metricsPage(signal), `${this.#prefix}${histogram}_count`) ?? 0;
  }

  async #metricsPage(signal: AbortSignal): Promise<string> {
    const { status, body } = await fetchPage(`${this.healthUrl}/metrics`, { signal });
    if (status !== 200) throw new Mismatch(`status ${status} from the metrics page of ${this.name}`);
    return body;
  }
}

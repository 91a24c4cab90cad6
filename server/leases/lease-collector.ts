import {
  isLeaseValid,
  type Lease,
  type LeaseList,
  leasePath,
  leasesPath,
  selectorOf,
} from "../../shared/kubernetes/lease.ts";
import { type CallMeter, isAnswer, measured } from "../../shared/kubernetes/lease-calls.ts";
import { OutageLog } from "../../shared/kubernetes/lease-outage.ts";
import type { Counter } from "../../shared/metrics/instruments.ts";
import { pause } from "../../shared/pause.ts";
import { type LeaseDeps, type LeaseOptions, leaseName } from "./lease-publisher.ts";

const collectEveryMs = 15_000;
const jitterShare = 0.04;

export interface LeaseMetrics {
  readonly lists: CallMeter;
  readonly deletes: CallMeter;
  /** Leases removed. */
  readonly culled: Counter;
}

export interface LeaseCollectorDeps extends LeaseDeps {
  readonly metrics: LeaseMetrics;
}

/** Removes the leases of servers that have gone without a word. Every server does it, so that one is enough. */
export class LeaseCollector {
  readonly #deps: LeaseCollectorDeps;
  readonly #options: LeaseOptions;
  readonly #outage: OutageLog;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(deps: LeaseCollectorDeps, options: LeaseOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#outage = new OutageLog(deps.log, {
      broken: "cannot remove expired leases",
      mended: "expired leases are removed again",
    });
  }

  start(): void {
    this.#loop ??= this.#collectForever();
  }

  /** Aborts the call on its way, if there is one. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the server stops"));
    await this.#loop;
  }

  async #collectForever(): Promise<void> {
    const { clock, random } = this.#deps;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#collect();
        this.#outage.succeeded();
      } catch (error) {
        if (!signal.aborted) this.#outage.failed(error);
      }
      await pause(clock, collectEveryMs * (1 + jitterShare * random()), { signal });
    }
  }

  /**
   * Goes on to the next lease where the API refuses one, and rejects with the first refusal at the end; an API that does not
   * answer ends it at once.
   */
  async #collect(): Promise<void> {
    const { api, clock, metrics, wallClock } = this.#deps;
    const { namespace, labels, serverId } = this.#options;
    const query = { labelSelector: selectorOf(labels) };
    const list = await measured(clock, metrics.lists, () =>
      api.request<LeaseList>("GET", leasesPath(namespace), { query, signal: this.#stopping.signal }),
    );
    // Its own is the publisher's affair: deleted now, it would only be made anew.
    const expired = (list.items ?? []).filter(
      (lease) => lease.metadata.name !== leaseName(serverId) && !isLeaseValid(lease, wallClock()),
    );
    const failures: unknown[] = [];
    for (const lease of expired) {
      try {
        await this.#remove(lease);
      } catch (error) {
        if (!isAnswer(error)) throw error;
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Not if its holder has renewed it since, which the version tells; another server may also have been faster. */
  async #remove({ metadata }: Lease): Promise<void> {
    const { api, clock, log, metrics } = this.#deps;
    const { name, resourceVersion } = metadata;
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { resourceVersion } };
    try {
      await measured(clock, metrics.deletes, () =>
        api.request("DELETE", leasePath(this.#options.namespace, name), { body, signal: this.#stopping.signal }),
      );
    } catch (error) {
      if (isAnswer(error) && (error.status === 404 || error.status === 409)) return;
      throw error;
    }
    metrics.culled.inc();
    log.info({ lease: name }, "removed the expired lease of a server");
  }
}

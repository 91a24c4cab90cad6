import type { Clock, Random } from "../../shared/clock.ts";
import { type KubernetesApi, KubernetesError, type WatchEvent } from "../../shared/kubernetes/api.ts";
import { isLeaseValid, type Lease, type LeaseList, leasesPath, type WallClock } from "../../shared/kubernetes/lease.ts";
import { type CallMeter, isAnswer, measured } from "../../shared/kubernetes/lease-calls.ts";
import { OutageLog } from "../../shared/kubernetes/lease-outage.ts";
import type { Log } from "../../shared/log.ts";
import { pause } from "../../shared/pause.ts";
import { Backoff } from "./backoff.ts";
import type { LeaseCount } from "./server-count.ts";

/** Between one watch and the list before the next; longer each time that they fail soon. */
const retryMinMs = 1_000;
const retryMaxMs = 30_000;
/** A watch that lasted so long is not counted as failed, whatever ended it. */
const steadyAfterMs = 30_000;
/**
 * A server renews its lease every 15 s, and the API sends a bookmark each minute or so. If neither comes the connection may
 * be dead, so the leases are listed anew.
 */
const silenceMaxMs = 75_000;
/** The API is asked to end a watch after 5 to 10 minutes, so that the watches of many agents spread over its instances. */
const watchMinSeconds = 300;

export interface LeaseCounterDeps {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly random: Random;
  readonly wallClock: WallClock;
  readonly log: Log;
  readonly metrics: { readonly leaseLists: CallMeter; readonly leaseWatches: CallMeter };
}

export interface LeaseCounterOptions {
  readonly namespace: string;
  /** A label selector as Kubernetes writes them; empty means all leases. */
  readonly selector: string;
}

/**
 * Counts the servers whose leases are valid, by a list and a watch that the API narrows by the selector.
 *
 * Leases are judged at the time of the last news, not now: while the API is silent nobody can renew, and servers must not
 * seem to vanish for that. So in an outage the last count stands.
 */
export class LeaseServerCounter implements LeaseCount {
  readonly #deps: LeaseCounterDeps;
  readonly #options: LeaseCounterOptions;
  readonly #outage: OutageLog;
  readonly #retries: Backoff;
  readonly #stopping = new AbortController();
  readonly #growthListeners: (() => void)[] = [];
  /** By namespace and name. */
  #leases = new Map<string, Lease>();
  #count = 1;
  #servers: ReadonlySet<string> = new Set();
  /** No lease was valid at the last news. */
  #hasNone = false;
  /** Whether the next list may come from the API's cache, which is kinder to etcd and may be a little old. */
  #cacheWillDo = true;
  #loop: Promise<void> | undefined;

  constructor(deps: LeaseCounterDeps, options: LeaseCounterOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#retries = new Backoff(deps, { baseMs: retryMinMs, capMs: retryMaxMs });
    this.#outage = new OutageLog(deps.log, {
      broken: "cannot follow the leases of servers; the last count stands",
      mended: "following the leases of servers again",
    });
  }

  /** 1 until leases have been listed, and never less. */
  get count(): number {
    return this.#count;
  }

  get servers(): ReadonlySet<string> {
    return this.#servers;
  }

  onGrown(listener: () => void): void {
    this.#growthListeners.push(listener);
  }

  start(): void {
    this.#loop ??= this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the agent stops"));
    await this.#loop;
  }

  async #follow(): Promise<void> {
    const { clock } = this.#deps;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const startedAt = clock.now();
      try {
        await this.#watch(await this.#list());
      } catch (error) {
        if (signal.aborted) return;
        // The version that the watch was to begin at is forgotten; the next list must not bring it up again.
        if (error instanceof KubernetesError && error.status === 410) this.#cacheWillDo = false;
        else this.#outage.failed(error);
      }
      const steady = clock.now() - startedAt >= steadyAfterMs;
      await pause(clock, steady ? this.#retries.reset() : this.#retries.next(), { signal });
    }
  }

  /** Resolves to the version that the list stands for. */
  async #list(): Promise<string> {
    const { api, clock, metrics } = this.#deps;
    const query = { ...this.#query, ...(this.#cacheWillDo && { resourceVersion: "0" }) };
    const { items, metadata } = await measured(clock, metrics.leaseLists, () =>
      api.request<LeaseList>("GET", leasesPath(this.#options.namespace), { query, signal: this.#stopping.signal }),
    );
    this.#cacheWillDo = true;
    this.#leases = new Map((items ?? []).map((lease) => [keyOf(lease), lease]));
    this.#news();
    return metadata.resourceVersion;
  }

  /** Resolves when the API ends the watch, or has said nothing for too long. */
  async #watch(resourceVersion: string): Promise<void> {
    const { api, clock, metrics, random } = this.#deps;
    const timeoutSeconds = Math.round(watchMinSeconds * (1 + random()));
    const ending = new AbortController();
    const stop = () => ending.abort(this.#stopping.signal.reason);
    this.#stopping.signal.addEventListener("abort", stop, { once: true });
    const silence = new Error("nothing was heard of the leases of servers");
    const listen = () => clock.after(silenceMaxMs, () => ending.abort(silence));
    let stopListening = listen();
    let answered = false;
    const answer = (status: number, reason: string) => {
      if (!answered) metrics.leaseWatches.answered(status, reason);
      answered = true;
    };
    try {
      const query = { ...this.#query, timeoutSeconds: String(timeoutSeconds) };
      const path = leasesPath(this.#options.namespace);
      for await (const event of api.watch<Lease>(path, { query, resourceVersion, signal: ending.signal })) {
        stopListening();
        stopListening = listen();
        answer(200, "");
        this.#outage.succeeded();
        this.#apply(event);
      }
      answer(200, "");
    } catch (error) {
      if (isAnswer(error)) answer(error.status, error.reason);
      if (error !== silence) throw error;
    } finally {
      stopListening();
      this.#stopping.signal.removeEventListener("abort", stop);
    }
  }

  #apply({ type, object }: WatchEvent<Lease>): void {
    if (type === "DELETED") this.#leases.delete(keyOf(object));
    else if (type !== "BOOKMARK") this.#leases.set(keyOf(object), object);
    this.#news();
  }

  #news(): void {
    const now = this.#deps.wallClock();
    const before = this.#count;
    const valid = [...this.#leases.values()].filter((lease) => isLeaseValid(lease, now));
    this.#count = Math.max(valid.length, 1);
    this.#servers = new Set(valid.flatMap(({ spec }) => spec?.holderIdentity ?? []));
    if (this.#count !== before) this.#deps.log.info({ servers: this.#count }, "servers with a valid lease");
    const hasNone = valid.length === 0;
    if (hasNone && !this.#hasNone) this.#warnOfNone();
    this.#hasNone = hasNone;
    if (this.#count > before) for (const listener of this.#growthListeners) listener();
  }

  /** Else a selector that fits no lease would look as one server does. */
  #warnOfNone(): void {
    this.#deps.log.warn(
      { ...this.#options },
      "no server has a valid lease, so one server is looked for: do they run with --enable-lease-controller, and are --lease-namespace and --lease-label-selector those of their leases?",
    );
  }

  get #query(): Readonly<Record<string, string>> {
    return this.#options.selector === "" ? {} : { labelSelector: this.#options.selector };
  }
}

function keyOf({ metadata }: Lease): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

import type { Clock, Random } from "../../shared/clock.ts";
import { type KubernetesApi, KubernetesError } from "../../shared/kubernetes/api.ts";
import { type Lease, leasePath, leasesPath, microTime, type WallClock } from "../../shared/kubernetes/lease.ts";
import { OutageLog } from "../../shared/kubernetes/lease-outage.ts";
import type { Log } from "../../shared/log.ts";
import { pause } from "../../shared/pause.ts";

// The reference's intervals.
const leaseDurationSeconds = 30;
const renewEveryMs = 15_000;
const jitterShare = 0.04;
const writeAttemptsMax = 5;
const backoffMinMs = 200;
const backoffMaxMs = 7_000;

/** Less than the lease lasts by far, so that one hanging call does not cost it. */
const callTimeoutMs = 5_000;
/** At the end, how long a write on its way may still take, and then how long the deletion. */
const lastWriteMs = 1_000;
const deleteTimeoutMs = 3_000;

export interface LeaseDeps {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly random: Random;
  readonly wallClock: WallClock;
  readonly log: Log;
}

export interface LeaseOptions {
  readonly serverId: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** The name of a server's lease. */
export function leaseName(serverId: string): string {
  return `konnectivity-proxy-server-${serverId}`;
}

/** Keeps this server's lease fresh, by which agents and the other servers know that it is there. */
export class LeasePublisher {
  readonly #deps: LeaseDeps;
  readonly #options: LeaseOptions;
  readonly #name: string;
  readonly #outage: OutageLog;
  /** Aborted first: no write begins any more. */
  readonly #stopping = new AbortController();
  /** Aborted when a write on its way has taken too long. */
  readonly #abandoning = new AbortController();
  /** As the API last answered it; undefined if it has to be read, or made, first. */
  #known: Lease | undefined;
  #toldOfRival = false;
  #loop: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(deps: LeaseDeps, options: LeaseOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#name = leaseName(options.serverId);
    this.#outage = new OutageLog(deps.log.child({ lease: this.#name }), {
      broken: "cannot renew this server's lease",
      mended: "this server's lease is renewed again",
    });
  }

  start(): void {
    this.#loop ??= this.#renewForever();
  }

  /**
   * Stops renewing, and only then deletes the lease, so that it is not made anew. Resolves within 4 s, also when the API is
   * away: the lease then runs out by itself.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    if (this.#loop === undefined) return;
    this.#stopping.abort();
    const { api, clock, log } = this.#deps;
    const cancel = clock.after(lastWriteMs, () => this.#abandoning.abort(new Error("the server stops")));
    await this.#loop;
    cancel();
    try {
      await api.request("DELETE", this.#path, { timeoutMs: deleteTimeoutMs });
      log.info({ lease: this.#name }, "deleted this server's lease");
    } catch (error) {
      if (statusOf(error) === 404) return;
      log.warn({ lease: this.#name, err: error }, "cannot delete this server's lease; it runs out by itself");
    }
  }

  async #renewForever(): Promise<void> {
    const { clock, random } = this.#deps;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#renew();
      await pause(clock, renewEveryMs * (1 + jitterShare * random()), { signal });
    }
  }

  /** Tries until it has succeeded or the server stops. */
  async #renew(): Promise<void> {
    const { signal } = this.#stopping;
    let waitMs = backoffMinMs;
    while (!signal.aborted) {
      try {
        await this.#write();
        this.#outage.succeeded();
        return;
      } catch (error) {
        this.#known = undefined;
        if (signal.aborted) return;
        this.#outage.failed(error);
      }
      await pause(this.#deps.clock, waitMs, { signal });
      waitMs = Math.min(waitMs * 2, backoffMaxMs);
    }
  }

  /** Writes over what it last knew. If that has changed or is gone, looks and tries again at once. */
  async #write(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const wroteItLast = this.#known !== undefined;
      const base = this.#known ?? (await this.#read());
      try {
        this.#known = await (base === undefined ? this.#create() : this.#update(base));
        return;
      } catch (error) {
        this.#known = undefined;
        const status = statusOf(error);
        const overtaken = status === 409 || status === 404;
        if (!overtaken || attempt === writeAttemptsMax || this.#stopping.signal.aborted) throw error;
        if (wroteItLast && status === 409) this.#suspectRival();
      }
    }
  }

  async #read(): Promise<Lease | undefined> {
    try {
      return await this.#deps.api.request<Lease>("GET", this.#path, this.#limits);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  #create(): Promise<Lease> {
    const metadata = { name: this.#name, namespace: this.#options.namespace };
    const body = this.#renewed({ metadata });
    return this.#deps.api.request<Lease>("POST", leasesPath(this.#options.namespace), { ...this.#limits, body });
  }

  #update(base: Lease): Promise<Lease> {
    return this.#deps.api.request<Lease>("PUT", this.#path, { ...this.#limits, body: this.#renewed(base) });
  }

  #renewed({ metadata }: Pick<Lease, "metadata">): Lease {
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { ...metadata, labels: this.#options.labels },
      spec: {
        holderIdentity: this.#options.serverId,
        leaseDurationSeconds,
        renewTime: microTime(this.#deps.wallClock()),
      },
    };
  }

  /** Nobody else writes a server's own lease, unless it has the same id; agents then see one server where there are two. */
  #suspectRival(): void {
    const level = this.#toldOfRival ? "debug" : "warn";
    this.#toldOfRival = true;
    this.#deps.log[level]({ lease: this.#name }, "somebody else writes this server's lease: is its --server-id taken?");
  }

  get #path(): string {
    return leasePath(this.#options.namespace, this.#name);
  }

  get #limits() {
    return { timeoutMs: callTimeoutMs, signal: this.#abandoning.signal };
  }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof KubernetesError ? error.status : undefined;
}

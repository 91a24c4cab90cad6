import type { Clock, Random } from "../shared/clock.ts";
import { ProxyError } from "../shared/errors.ts";
import type { HttpProxy } from "../shared/http/proxy-environment.ts";
import type { KubernetesApi } from "../shared/kubernetes/api.ts";
import type { Log } from "../shared/log.ts";
import { pause } from "../shared/pause.ts";
import { ByteBudget } from "../shared/stream/byte-budget.ts";
import { loadCaBundle, loadKeyPair } from "../shared/tls/credentials.ts";
import { DialHandler } from "./dial-handler.ts";
import { EndpointDialer } from "./endpoints/endpoint-dialer.ts";
import { Backoff } from "./links/backoff.ts";
import { LeaseServerCounter } from "./links/lease-counter.ts";
import { ServerConnector } from "./links/server-connector.ts";
import { AggregateServerCounter } from "./links/server-count.ts";
import { ServerSet } from "./links/server-set.ts";
import type { AgentMetrics } from "./metrics.ts";
import type { AgentOptions } from "./options.ts";

/** A draining agent leaves once it had neither dial nor connection for this long, and at the latest after the other. */
const drainedAfterIdleMs = 10_000;
const drainMaxMs = 25_000;
/** Dials that were sent before the server had read the DRAIN are on their way for about this long. */
const drainMinMs = 1_000;

export interface AgentDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  /** There whenever `options.kubernetes` is. */
  readonly kubernetes: KubernetesApi | undefined;
}

/** With `--sync-forever`, the longest wait between attempts beyond the count. */
const probeWaitMaxMs = 30_000;

/** The proxy agent without its health and admin pages: links to servers on one side, endpoints on the other. */
export class ProxyAgent {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #dials: DialHandler;
  readonly #servers: ServerSet;
  readonly #proxy: HttpProxy | undefined;
  readonly #leases: LeaseServerCounter | undefined;
  #draining = false;

  /** Loads certificates: throws a UsageError that names the file. */
  constructor(deps: AgentDeps, options: AgentOptions) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    const budget = new ByteBudget(deps, {
      maxBytes: options.heldBytesMax,
      onReset: () => deps.metrics.refused("held_bytes"),
    });
    deps.metrics.watch(budget);
    this.#dials = new DialHandler({ ...deps, budget, endpoints: new EndpointDialer(deps) }, options);
    const { keyPair, caFile, ...address } = options.server;
    this.#proxy = address.proxy;
    const connector = new ServerConnector(
      { ...deps, calls: budget, onDial: (request, server) => this.#dials.handle(request, server) },
      {
        ...address,
        ca: loadCaBundle(caFile),
        keyPair: keyPair === undefined ? undefined : loadKeyPair(keyPair),
        agentId: options.agentId,
        identifiers: options.identifiers,
        tokenFile: options.tokenFile,
      },
    );
    this.#leases = leaseCounter(deps, options);
    const { syncIntervalMs } = options;
    this.#servers = new ServerSet(
      {
        ...deps,
        connector,
        counter: new AggregateServerCounter({ leases: this.#leases }, { source: options.serverCountSource }),
        backoff: new Backoff(deps, { baseMs: syncIntervalMs, capMs: options.syncIntervalCapMs }),
        // Leases tell of every new server. Where they are not counted only probing does, so it begins quickly.
        probes: new Backoff(deps, {
          baseMs: this.#leases === undefined ? syncIntervalMs : probeWaitMaxMs,
          capMs: Math.max(probeWaitMaxMs, syncIntervalMs),
        }),
      },
      options,
    );
  }

  /** Linked to at least one server, and not on its way out. */
  get ready(): boolean {
    return !this.#draining && this.#servers.size > 0;
  }

  start(): void {
    if (this.#proxy !== undefined) this.#log.info({ proxy: this.#proxy.shown }, "servers are reached through a proxy");
    this.#leases?.start();
    this.#servers.start();
  }

  /**
   * Asks servers to prefer other agents, then waits: until there was neither dial nor connection for 10 s, at most 25 s.
   * `hurry` ends the wait.
   */
  async drain(options: { readonly hurry: AbortSignal }): Promise<void> {
    this.#draining = true;
    this.#log.info({ open: this.#dials.busyCount }, "draining");
    this.#servers.drain();
    const startedAt = this.#clock.now();
    for (;;) {
      const drainedMs = this.#clock.now() - startedAt;
      const idleLeftMs = drainedAfterIdleMs - this.#dials.idleMs;
      const waitMs = Math.min(Math.max(idleLeftMs, drainMinMs - drainedMs), drainMaxMs - drainedMs);
      if (options.hurry.aborted || waitMs <= 0) return;
      await pause(this.#clock, waitMs, { signal: options.hurry, keepAlive: true });
    }
  }

  /** Ends all links and what they carry. */
  async stop(): Promise<void> {
    await Promise.all([
      this.#leases?.stop(),
      this.#servers.stop(new ProxyError("shutdown", "the proxy agent is shutting down")),
    ]);
    this.#log.info("stopped");
  }
}

function leaseCounter(deps: AgentDeps, { leases }: AgentOptions): LeaseServerCounter | undefined {
  if (leases === undefined) return undefined;
  const { kubernetes: api } = deps;
  if (api === undefined) throw new Error("leases are to be counted, but there is no Kubernetes API");
  return new LeaseServerCounter({ ...deps, api, wallClock: Date.now }, leases);
}

import type { Clock, Random } from "../shared/clock.ts";
import { ProxyError } from "../shared/errors.ts";
import type { Log } from "../shared/log.ts";
import { loadCaBundle, loadKeyPair } from "../shared/tls/credentials.ts";
import { DialHandler } from "./dial-handler.ts";
import { EndpointDialer } from "./endpoints/endpoint-dialer.ts";
import { Backoff } from "./links/backoff.ts";
import { ServerConnector } from "./links/server-connector.ts";
import { ResponseServerCounter } from "./links/server-count.ts";
import { ServerSet } from "./links/server-set.ts";
import type { AgentMetrics } from "./metrics.ts";
import type { AgentOptions } from "./options.ts";

/** A draining agent leaves once it had neither dial nor connection for this long, and at the latest after the other. */
const drainedAfterIdleMs = 10_000;
const drainMaxMs = 25_000;

export interface AgentDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: AgentMetrics;
}

/** The proxy agent without its health and admin pages: links to servers on one side, endpoints on the other. */
export class ProxyAgent {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #dials: DialHandler;
  readonly #servers: ServerSet;
  #draining = false;

  /** Loads certificates: throws a UsageError that names the file. */
  constructor(deps: AgentDeps, options: AgentOptions) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#dials = new DialHandler({ ...deps, endpoints: new EndpointDialer(deps) }, options);
    const { keyPair, caFile, ...address } = options.server;
    const connector = new ServerConnector(
      { ...deps, onDial: (request, server) => this.#dials.handle(request, server) },
      {
        ...address,
        ca: loadCaBundle(caFile),
        keyPair: keyPair === undefined ? undefined : loadKeyPair(keyPair),
        agentId: options.agentId,
        identifiers: options.identifiers,
        tokenFile: options.tokenFile,
      },
    );
    this.#servers = new ServerSet(
      {
        ...deps,
        connector,
        counter: new ResponseServerCounter(),
        backoff: new Backoff(deps, { baseMs: options.syncIntervalMs, capMs: options.syncIntervalCapMs }),
      },
      options,
    );
  }

  /** Linked to at least one server, and not on its way out. */
  get ready(): boolean {
    return !this.#draining && this.#servers.size > 0;
  }

  start(): void {
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
    const deadline = this.#clock.now() + drainMaxMs;
    while (!options.hurry.aborted && this.#clock.now() < deadline && this.#dials.idleMs < drainedAfterIdleMs) {
      const waitMs = Math.min(drainedAfterIdleMs - this.#dials.idleMs, deadline - this.#clock.now());
      await this.#pause(Math.max(waitMs, 1), options.hurry);
    }
  }

  /** Ends all links and what they carry. */
  async stop(): Promise<void> {
    await this.#servers.stop(new ProxyError("shutdown", "the proxy agent is shutting down"));
    this.#log.info("stopped");
  }

  #pause(delayMs: number, hurry: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(delayMs, done, { keepAlive: true });
      function done(): void {
        cancel();
        hurry.removeEventListener("abort", done);
        resolve();
      }
      hurry.addEventListener("abort", done, { once: true });
    });
  }
}

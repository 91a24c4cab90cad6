import type { Clock, Random } from "../shared/clock.ts";
import { ProxyError } from "../shared/errors.ts";
import type { KubernetesClient } from "../shared/kubernetes/client.ts";
import type { Log } from "../shared/log.ts";
import { ByteBudget } from "../shared/stream/byte-budget.ts";
import { TokenAuthenticator } from "./authentication/token-authenticator.ts";
import { Dialer } from "./dialer.ts";
import { Frontend } from "./frontends/frontend.ts";
import { LeaseController } from "./leases/lease-controller.ts";
import { AgentListener } from "./links/agent-listener.ts";
import { Registry } from "./links/registry.ts";
import { sharedAuthorityWarning } from "./listeners/shared-authority.ts";
import type { ServerMetrics } from "./metrics.ts";
import type { ServerOptions } from "./options.ts";

/** How long an immediate shutdown (`--graceful-shutdown-timeout=0`) waits at most for answers on their way. */
const immediateShutdownMs = 5_000;
/** How long clients whose connections have ended may take to leave. */
const farewellMs = 1_000;

export interface ServerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: ServerMetrics;
  /** There whenever `options.kubernetes` is. */
  readonly kubernetes: KubernetesClient | undefined;
}

/** The proxy server without its health and admin pages: frontends on one side, agents on the other, the dialer between. */
export class ProxyServer {
  readonly #deps: ServerDeps;
  readonly #options: ServerOptions;
  readonly #registry: Registry;
  readonly #dialer: Dialer;
  readonly #frontends: readonly Frontend[];
  readonly #agents: AgentListener;
  readonly #leases: LeaseController | undefined;
  #stopped: Promise<void> | undefined;

  constructor(deps: ServerDeps, options: ServerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#registry = new Registry(
      { random: deps.random, observer: { changed: (ready, agents) => deps.metrics.setReadyBackends(ready, agents) } },
      { strategies: options.strategies },
    );
    deps.metrics.watchLinks(this.#registry.links);
    const budget = new ByteBudget(deps, {
      maxBytes: options.limits.heldBytesMax,
      onReset: () => deps.metrics.refused("held_bytes"),
    });
    deps.metrics.watch(budget);
    const shared = { ...deps, registry: this.#registry, budget, calls: budget };
    this.#dialer = new Dialer(shared, options);
    this.#frontends = options.frontends.map(
      (frontend) =>
        new Frontend(
          { ...shared, dialer: this.#dialer },
          { ...options, ...frontend, keepaliveMs: options.frontendKeepaliveMs },
        ),
    );
    this.#leases = leaseController(deps, options);
    this.#agents = new AgentListener({ ...shared, authenticator: authenticatorOf(deps, options) }, options);
  }

  /** Whether a dial could succeed now; false while it stops. */
  get ready(): boolean {
    return this.#stopped === undefined && this.#registry.ready;
  }

  /** Listens on every port. Throws a UsageError naming the file or address that does not serve. */
  async start(): Promise<void> {
    for (const frontend of this.#frontends) {
      await frontend.start();
      this.#deps.log.info({ address: frontend.address }, "listening for frontends");
    }
    await this.#agents.start();
    this.#warnOfSharedAuthority();
    this.#deps.log.info({ address: this.#agents.address }, "listening for agents");
    this.#leases?.start();
  }

  #warnOfSharedAuthority(): void {
    const { frontends, agentListener } = this.#options;
    for (const { listen } of frontends) {
      if (listen.kind === "uds" || listen.clientNames.length > 0 || agentListener.caFile === undefined) continue;
      const warning = sharedAuthorityWarning({ frontendCa: listen.caFile, agentCa: agentListener.caFile });
      if (warning !== undefined) this.#deps.log.warn(warning);
    }
  }

  /**
   * Takes nothing new, lets connections finish within the grace, then ends what is left. Hawser's agents are asked at
   * once to link elsewhere; others are told last, since a reference agent drops all its connections when it is told. `hurry` cuts the grace short.
   */
  stop(options: { readonly hurry: AbortSignal }): Promise<void> {
    this.#stopped ??= this.#stop(options.hurry);
    return this.#stopped;
  }

  async #stop(hurry: AbortSignal): Promise<void> {
    const { log } = this.#deps;
    // From now on agents should look for other servers only. An API that does not answer must not delay the rest.
    const leaseGone = this.#leases?.stop() ?? Promise.resolve();
    this.#dialer.drain();
    await Promise.all([this.#agents.drain(), ...this.#frontends.map((frontend) => frontend.drain())]);
    const graceMs = this.#options.gracefulShutdownTimeoutMs;
    if (graceMs > 0) await this.#within(graceMs, this.#dialer.idle(), hurry);
    const reason = new ProxyError("shutdown", "the proxy server is shutting down");
    this.#dialer.abort(reason);
    await this.#within(immediateShutdownMs, this.#dialer.idle(), hurry);
    // The last bytes of a connection, and the word that it has ended, may still be on their way.
    const deserted = Promise.all(this.#frontends.map((frontend) => frontend.deserted()));
    await this.#within(
      farewellMs,
      deserted.then(() => {}),
      hurry,
    );
    for (const frontend of this.#frontends) frontend.abort(reason);
    this.#agents.abort(reason);
    await this.#within(immediateShutdownMs, leaseGone, hurry);
    log.info("stopped");
  }

  async #within(limitMs: number, work: Promise<unknown>, hurry: AbortSignal): Promise<void> {
    if (hurry.aborted) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#deps.clock.after(limitMs, resolve, { keepAlive: true });
      hurry.addEventListener("abort", () => resolve(), { once: true });
      void work.then(() => {
        cancel();
        resolve();
      });
    });
  }
}

/** Throws if tokens are to be checked and there is nobody to ask: agents must never be admitted unchecked by mistake. */
function authenticatorOf(deps: ServerDeps, { agentTokens }: ServerOptions): TokenAuthenticator | undefined {
  if (agentTokens === undefined) return undefined;
  const { kubernetes: api } = deps;
  if (api === undefined) throw new Error("tokens are to be checked, but there is no Kubernetes API");
  return new TokenAuthenticator({ ...deps, api, wallClock: Date.now }, agentTokens);
}

function leaseController(deps: ServerDeps, { leases }: ServerOptions): LeaseController | undefined {
  if (leases === undefined) return undefined;
  const { kubernetes, metrics } = deps;
  if (kubernetes === undefined) throw new Error("a lease is to be published, but there is no Kubernetes API");
  // Where thousands of agents come back at once, their tokens' reviews would keep the lease from being renewed.
  const api = kubernetes.separate();
  return new LeaseController({ ...deps, api, wallClock: Date.now, metrics: metrics.leases }, leases);
}

import type { Duplex } from "node:stream";
import { Cancellation } from "../shared/cancellation.ts";
import type { Clock } from "../shared/clock.ts";
import type { DialRequest } from "../shared/dial.ts";
import { DialController, type DialSignal } from "../shared/dial-signal.ts";
import { ProxyError } from "../shared/errors.ts";
import type { Log } from "../shared/log.ts";
import type { ByteBudget } from "../shared/stream/byte-budget.ts";
import { splice } from "../shared/stream/splice.ts";
import type { AgentLink, LinkedConnection } from "./links/link.ts";
import type { Registry } from "./links/registry.ts";
import type { ServerMetrics } from "./metrics.ts";
import type { ServerLimits } from "./options-limits.ts";

export interface DialerDeps {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ServerMetrics;
  readonly budget: ByteBudget;
}

export interface DialerOptions {
  readonly limits: Omit<ServerLimits, "agentLinksMax" | "agentConnectionsMax" | "heldBytesMax">;
  /** From the request to the agent's answer, attempts on other agents included. */
  readonly dialTimeoutMs: number;
  readonly halfCloseTimeoutMs: number;
}

/** Who asks: for the log, and for what the reference counts in one mode only. */
export interface FrontendIdentity {
  readonly protocol: "grpc" | "http-connect";
  /** `host:port` or `unix`. */
  readonly peer: string;
  /** Common name of the verified client certificate. */
  readonly subject: string | undefined;
}

/**
 * kube-apiserver's clients lose endpoint bytes that come before they have taken in the answer to their dial: 58 to 65 of 100
 * without a pause, and with 10 ms from when it was queued still 1 of 300, with 50 ms from when it had left 1 of 5,000, where client and
 * server shared two busy cores. A frontend that speaks first, as every TLS client does, waits for nothing.
 */
const holdEndpointMs = 100;
/** A frontend's FIN travels on as a full close where the wire has no half-close: after the endpoint was silent for this long. */
const frontendFinGraceMs = 1_000;

/**
 * Carries out one dial from request to spliced connection: choose an agent, dial, keep the deadline, try once more on
 * another agent where nothing can have moved yet, account. Every request is answered or was aborted by its frontend.
 */
export class Dialer {
  readonly #deps: DialerDeps;
  readonly #options: DialerOptions;
  readonly #running = new Set<Promise<void>>();
  /** Dials under way, with what ends them. */
  readonly #dialing = new Set<DialController>();
  /** Frontend ends of the connections that stand. */
  readonly #connections = new Set<Duplex>();
  #accepting = true;
  /** Why all was ended at once, if it was. */
  #aborted: ProxyError | undefined;

  constructor(deps: DialerDeps, options: DialerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Takes over `request`. Whatever happens to it is told to the frontend, not to the caller. Resolves once nothing of it is
   * left; never rejects.
   */
  dial(request: DialRequest, frontend: FrontendIdentity): Promise<void> {
    const done = this.#run(request, frontend).finally(() => this.#running.delete(done));
    this.#running.add(done);
    return done;
  }

  /** From now on every dial is refused with `shutdown`; connections go on. */
  drain(): void {
    this.#accepting = false;
  }

  /** Resolves once no dial and no connection is left. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** Ends all dials and connections at once. */
  abort(reason: ProxyError): void {
    this.drain();
    this.#aborted ??= reason;
    for (const dial of this.#dialing) dial.abort(reason);
    for (const duplex of this.#connections) duplex.destroy(reason);
  }

  async #run(request: DialRequest, frontend: FrontendIdentity): Promise<void> {
    const { clock, metrics } = this.#deps;
    const log = this.#deps.log.child({
      dial: request.id.toString(),
      destination: request.target.address,
      frontend: frontend.peer,
      ...(frontend.subject === undefined ? {} : { subject: frontend.subject }),
    });
    const startedAt = clock.now();
    let timeout: ProxyError | undefined;
    const limit = new Cancellation(this.#deps, {
      controller: new DialController(),
      signal: request.signal,
      limitMs: this.#options.dialTimeoutMs,
      lateReason: () => {
        timeout = new ProxyError("dial_timeout", "timed out waiting for backend dial");
        return timeout;
      },
    });
    const { controller, signal } = limit;
    this.#dialing.add(controller);
    metrics.pendingDials.inc();
    let connection: { readonly link: AgentLink; readonly agentEnd: LinkedConnection };
    try {
      connection = await this.#connect(request, signal, startedAt + this.#options.dialTimeoutMs);
      if (signal.aborted) {
        connection.agentEnd.duplex.destroy(ProxyError.from(signal.reason));
        throw signal.reason;
      }
    } catch (failure) {
      const error = ProxyError.from(failure);
      this.#countFailure(error, request, frontend, error === timeout);
      const elapsedMs = Math.round(clock.now() - startedAt);
      log[error.traits.level]({ code: error.code, reason: error.message, elapsedMs, err: error.cause }, "dial failed");
      request.refuse(error);
      return;
    } finally {
      limit.release();
      this.#dialing.delete(controller);
      metrics.pendingDials.dec();
    }
    await this.#serve(request, connection.link, connection.agentEnd, log, startedAt);
  }

  /** One attempt, and one more on another agent if the first was lost before anything can have moved. */
  async #connect(
    { id, target }: DialRequest,
    signal: DialSignal,
    deadlineAt: number,
  ): Promise<{ link: AgentLink; agentEnd: LinkedConnection }> {
    if (!this.#accepting) throw new ProxyError("shutdown", "the proxy server is shutting down");
    this.#requireRoom();
    const tried = new Set<AgentLink>();
    let failure: ProxyError | undefined;
    while (tried.size < 2) {
      const link = this.#deps.registry.choose(target.address, tried);
      if (link === undefined) throw failure ?? new ProxyError("no_agent", "No agent available");
      if (tried.size > 0) this.#deps.metrics.dialRetries.inc();
      tried.add(link);
      try {
        const remainingMs = Math.max(1, Math.ceil(deadlineAt - this.#deps.clock.now()));
        return { link, agentEnd: await link.dial({ id, target, remainingMs }, { signal }) };
      } catch (error) {
        failure = ProxyError.from(error);
        if (!anotherMayDo(failure) || signal.aborted) throw failure;
      }
    }
    throw failure ?? new ProxyError("no_agent", "No agent available");
  }

  /** Called before the dial counts among those that run, and after it counts among those under way. */
  #requireRoom(): void {
    const { frontendConnectionsMax, pendingDialsMax } = this.#options.limits;
    const { metrics } = this.#deps;
    if (this.#running.size >= frontendConnectionsMax) {
      metrics.refused("frontend_connections");
      throw new ProxyError("over_limit", `this server has ${frontendConnectionsMax} connections already`);
    }
    if (this.#dialing.size > pendingDialsMax) {
      metrics.refused("pending_dials");
      throw new ProxyError("over_limit", `this server has ${pendingDialsMax} dials without an answer already`);
    }
  }

  async #serve(
    request: DialRequest,
    link: AgentLink,
    agentEnd: LinkedConnection,
    log: Log,
    startedAt: number,
  ): Promise<void> {
    const { clock, metrics, budget } = this.#deps;
    const reached = agentEnd.reached === undefined ? {} : { reached: agentEnd.reached };
    let frontendEnd: Awaited<ReturnType<DialRequest["accept"]>>;
    try {
      frontendEnd = await request.accept(reached);
    } catch (failure) {
      const error = ProxyError.from(failure);
      metrics.dialFailed("send_rsp");
      metrics.dialsFailed(error.code);
      log.debug({ code: error.code, err: error }, "connection not wanted any more");
      agentEnd.duplex.destroy(error);
      return;
    }
    // An abort that came while the frontend was being told found neither a dial nor a connection.
    if (this.#aborted !== undefined) frontendEnd.duplex.destroy(this.#aborted);
    const establishedAt = clock.now();
    metrics.dialDuration.observe((establishedAt - startedAt) / 1000);
    metrics.established.inc();
    log.debug(
      { agent: link.agent.id, ...reached, dialMs: Math.round(establishedAt - startedAt) },
      "connection established",
    );
    this.#connections.add(frontendEnd.duplex);
    const report = await splice(
      frontendEnd,
      agentEnd,
      { clock },
      {
        half: "server",
        halfCloseTimeoutMs: this.#options.halfCloseTimeoutMs,
        idleTimeoutMs: this.#options.limits.connectionIdleMs,
        lifetimeMs: this.#options.limits.connectionLifetimeMs,
        frontendFinGraceMs,
        holdEndpointMs,
        bytes: metrics.bytes,
        onStart: (started) => budget.addConnection(started, log),
        onFrontendWrite: (ms) => metrics.frontendWriteDuration.observe(ms / 1000),
      },
    );
    this.#connections.delete(frontendEnd.duplex);
    metrics.established.dec();
    metrics.connectionDuration.observe((clock.now() - establishedAt) / 1000);
    metrics.connectionClosed(report);
    log.debug({ agent: link.agent.id, ...report }, "connection closed");
  }

  /** `error_response`, `backend_close` and `unrecognized_response` are counted by the link, which alone sees those packets. */
  #countFailure(error: ProxyError, request: DialRequest, frontend: FrontendIdentity, timedOut: boolean): void {
    const { metrics } = this.#deps;
    metrics.dialsFailed(error.code);
    if (error.code === "no_agent" && frontend.protocol === "grpc") metrics.dialFailed("no_agent");
    else if (request.signal.aborted) metrics.dialFailed("frontend_close");
    else if (timedOut) metrics.dialFailed("backend_dial_timeout");
  }
}

/** Where the first agent was lost, or has all the connections that it may have. What an agent says itself is the answer. */
function anotherMayDo({ code, reportedBy }: ProxyError): boolean {
  return code === "agent_lost" || (code === "over_limit" && reportedBy === "server");
}

import type { Clock } from "../shared/clock.ts";
import type { DialRequest } from "../shared/dial.ts";
import { ProxyError } from "../shared/errors.ts";
import type { Log } from "../shared/log.ts";
import type { ByteBudget } from "../shared/stream/byte-budget.ts";
import { splice } from "../shared/stream/splice.ts";
import type { EndpointConnection, EndpointDialer } from "./endpoints/endpoint-dialer.ts";
import type { AgentMetrics } from "./metrics.ts";

export interface DialHandlerDeps {
  readonly endpoints: EndpointDialer;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  readonly budget: ByteBudget;
}

/** Carries out the dials that servers order, from order to spliced connection. Every order is answered or was aborted. */
export class DialHandler {
  readonly #deps: DialHandlerDeps;
  readonly #options: { readonly halfCloseTimeoutMs: number };
  readonly #running = new Set<Promise<void>>();
  #lastBusyAt: number;

  constructor(deps: DialHandlerDeps, options: { readonly halfCloseTimeoutMs: number }) {
    this.#deps = deps;
    this.#options = options;
    this.#lastBusyAt = deps.clock.now();
  }

  /** Dials and connections under way. */
  get busyCount(): number {
    return this.#running.size;
  }

  /** Milliseconds since the last dial or connection ended; 0 while there is one. */
  get idleMs(): number {
    return this.#running.size > 0 ? 0 : this.#deps.clock.now() - this.#lastBusyAt;
  }

  /** Takes over `request`. What becomes of it is told to the server, not to the caller. */
  handle(request: DialRequest, server: { readonly id: string }): void {
    const done = this.#run(request, server).finally(() => {
      this.#running.delete(done);
      this.#lastBusyAt = this.#deps.clock.now();
    });
    this.#running.add(done);
  }

  async #run(request: DialRequest, server: { readonly id: string }): Promise<void> {
    const { clock, metrics, endpoints, budget } = this.#deps;
    const log = this.#deps.log.child({
      dial: request.id.toString(),
      destination: request.target.address,
      server: server.id,
    });
    const startedAt = clock.now();
    let endpoint: EndpointConnection;
    try {
      endpoint = await endpoints.dial(request.target, { signal: request.signal });
    } catch (failure) {
      const error = ProxyError.from(failure);
      const elapsedMs = Math.round(clock.now() - startedAt);
      log[error.traits.level]({ code: error.code, reason: error.message, elapsedMs, err: error.cause }, "dial failed");
      if (!request.signal.aborted) metrics.endpointDialFailed(error.code);
      request.refuse(error);
      return;
    }
    const { socket, reached } = endpoint;
    metrics.dialDuration.observe((clock.now() - startedAt) / 1000);
    try {
      const serverEnd = await request.accept({ reached });
      metrics.openEndpointConnections.inc();
      log.debug({ reached }, "connection established");
      const report = await splice(
        serverEnd,
        { duplex: socket, halfClose: true },
        { clock },
        {
          half: "agent",
          halfCloseTimeoutMs: this.#options.halfCloseTimeoutMs,
          bytes: metrics.bytes,
          onStart: (started) => budget.addConnection(started, log),
        },
      );
      metrics.openEndpointConnections.dec();
      metrics.connectionClosed(report);
      log.debug({ ...report }, "connection closed");
    } catch (failure) {
      socket.destroy();
      log.debug({ err: failure }, "endpoint connected, but the dial is not waited for any more");
    }
  }
}

import type { Clock } from "../../shared/clock.ts";
import type { DialRequest } from "../../shared/dial.ts";
import { ProxyError } from "../../shared/errors.ts";
import { GrpcCode, GrpcError } from "../../shared/grpc/status.ts";
import type { GrpcClientCall, GrpcClientSession } from "../../shared/grpc/stream.ts";
import { type LinkState, linkMoves, requireMove } from "../../shared/lifecycle.ts";
import type { Log } from "../../shared/log.ts";
import { carryMetadata, carryPath } from "../../shared/tunnel/headers.ts";
import type { LaneCounts } from "../../shared/tunnel/lane-state.ts";
import { LinkStream } from "../../shared/tunnel/link-stream.ts";
import type { LinkMessage } from "../../shared/tunnel/messages.ts";
import type { AgentMetrics } from "../metrics.ts";
import type { ServerLink } from "./link.ts";
import { SpareLanes } from "./spare-lanes.ts";
import { TunnelLane } from "./tunnel-lane.ts";

export interface TunnelLinkDeps {
  readonly session: GrpcClientSession;
  /** The Link, which has its response headers already: they are `server`. */
  readonly call: GrpcClientCall;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  readonly onDial: (request: DialRequest) => void;
  /** The server takes no lanes of this link: what stands between mixes the streams of connections. Called before the link ends. */
  readonly onLanesRefused: (reason: string) => void;
}

/** What stands between and takes some streams only lets the others wait without a sign. */
const laneAnswerMs = 10_000;

/**
 * Hawser's own link: a lane for each connection. This end opens the lanes, a few ahead of need, and closes those that were not
 * needed for a while. Source: proto/TUNNEL.md.
 */
export class TunnelLink implements ServerLink {
  readonly server: { readonly id: string; readonly count: number };
  readonly ended: Promise<ProxyError>;
  readonly #deps: TunnelLinkDeps;
  readonly #stream: LinkStream;
  readonly #spares: SpareLanes<TunnelLane>;
  readonly #lanes = new Set<TunnelLane>();
  /** What every lane bears; there once the server has welcomed this agent. */
  #token: Buffer | undefined;
  #laneTaken = false;
  #brokenLane = false;
  #laneUnanswered = false;
  #state: LinkState = "ready";
  #resolveEnded: (reason: ProxyError) => void = () => {};
  readonly #goawayListeners: (() => void)[] = [];

  constructor(deps: TunnelLinkDeps, options: { readonly server: { readonly id: string; readonly count: number } }) {
    this.server = options.server;
    this.#deps = deps;
    this.#stream = new LinkStream(deps.call);
    this.#spares = new SpareLanes<TunnelLane>(deps.clock, {
      open: () => void this.#openLane(),
      close: (lane) => lane.retire(),
    });
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  get busy(): boolean {
    return this.lanes.inUse > 0;
  }

  get roundTripMs(): number | undefined {
    return this.#deps.session.roundTripMs;
  }

  get lanes(): LaneCounts {
    return this.#spares.counts;
  }

  start(): void {
    this.#stream.start({
      onMessage: (message) => this.#receive(message),
      onEnd: () => {},
      onBroken: (error) => this.close(new ProxyError("protocol", error.message)),
      onClose: (status) =>
        this.#lose(new ProxyError("agent_lost", `the server's stream ended: ${status.message || "closed"}`)),
    });
  }

  drain(): void {
    if (this.#state !== "ready") return;
    this.#move("draining");
    this.#deps.metrics.packets.sent("DRAIN");
    this.#stream.send({ type: "draining" });
  }

  onGoaway(listener: () => void): void {
    this.#goawayListeners.push(listener);
    this.#deps.session.onGoaway(listener);
  }

  close(reason: ProxyError): void {
    this.#lose(reason);
    this.#deps.call.cancel(reason.message);
  }

  #move(to: LinkState): void {
    requireMove(linkMoves, this.#state, to);
    this.#state = to;
  }

  #receive(message: LinkMessage): void {
    switch (message.type) {
      case "welcome":
        this.#token ??= message.token;
        return this.#spares.start();
      case "lanesWanted":
        return this.#spares.wanted(message.count);
      case "ping":
        return this.#stream.send({ type: "pong", number: message.number });
      case "draining":
        for (const listener of this.#goawayListeners) listener();
    }
  }

  async #openLane(): Promise<void> {
    const { session, clock, metrics, onDial } = this.#deps;
    const token = this.#token;
    if (token === undefined || this.#state === "closed") return this.#spares.failed();
    let lane: TunnelLane | undefined;
    let stopWaiting = () => {};
    try {
      const call = session.open(carryPath, { metadata: carryMetadata(token) });
      lane = new TunnelLane(
        { call, clock, meter: metrics.packets, onDial },
        {
          onBusy: (busy) => this.#spares.busy(busy),
          onIdle: (idle) => this.#spares.idle(idle),
          onBroken: (error) => this.#laneBroken(error),
          onClose: (closed) => {
            this.#lanes.delete(closed);
            this.#spares.closed(closed);
          },
        },
      );
      this.#lanes.add(lane);
      stopWaiting = clock.after(laneAnswerMs, () => this.#warnOfUnanswered());
      await call.headers;
      this.#laneTaken = true;
      lane.start();
      this.#spares.opened(lane);
    } catch (error) {
      if (lane !== undefined) this.#lanes.delete(lane);
      this.#spares.failed();
      this.#laneRefused(error);
    } finally {
      stopWaiting();
    }
  }

  /** That lane goes on to wait: HTTP/2 keeps what it could not send, also if that is cancelled, so others would gather behind it. */
  #warnOfUnanswered(): void {
    const { log, session } = this.#deps;
    // A server that says nothing at all is not one that lacks streams.
    if (this.#laneUnanswered || session.silentMs() >= laneAnswerMs) return;
    this.#laneUnanswered = true;
    log.warn(
      { lanes: this.lanes.inUse + this.lanes.spare },
      "a lane has had no answer for 10 s: does a proxy on the way limit the streams of a connection?",
    );
  }

  /** One line tells of a server that does not speak as it should; it may break as many lanes as there are. */
  #laneBroken(error: ProxyError): void {
    const level = this.#brokenLane ? "debug" : "warn";
    this.#brokenLane = true;
    this.#deps.log[level]({ reason: error.message }, "lane ended: the server broke the protocol");
  }

  #laneRefused(error: unknown): void {
    const code = error instanceof GrpcError ? error.code : undefined;
    const { message } = error as Error;
    this.#deps.log.debug({ reason: message }, "the server took no lane");
    const never = code === GrpcCode.UNAUTHENTICATED || code === GrpcCode.UNIMPLEMENTED;
    if (!never || this.#laneTaken || this.#state === "closed") return;
    this.#deps.onLanesRefused(message);
    this.close(new ProxyError("protocol", `the server took no lane: ${message}`));
  }

  #lose(reason: ProxyError): void {
    if (this.#state === "closed") return;
    this.#move("closed");
    this.#spares.stop();
    for (const lane of [...this.#lanes]) lane.close(reason);
    this.#resolveEnded(reason);
  }
}

import { randomBytes } from "node:crypto";
import type { Clock } from "../../shared/clock.ts";
import type { DialId } from "../../shared/dial.ts";
import type { DialSignal } from "../../shared/dial-signal.ts";
import { ProxyError } from "../../shared/errors.ts";
import { GrpcCode, type GrpcStatus } from "../../shared/grpc/status.ts";
import type { GrpcServerCall } from "../../shared/grpc/stream.ts";
import { type LinkState, linkMoves, requireMove } from "../../shared/lifecycle.ts";
import type { Log } from "../../shared/log.ts";
import type { LaneCounts } from "../../shared/tunnel/lane-state.ts";
import { LinkStream } from "../../shared/tunnel/link-stream.ts";
import type { LinkMessage } from "../../shared/tunnel/messages.ts";
import type { ServerMetrics } from "../metrics.ts";
import type { AgentIdentity, AgentLink, AgentLinkLimits, DialOrder, LinkedConnection } from "./link.ts";
import { ProgressWatch } from "./progress-watch.ts";
import { type PendingDial, TunnelLane } from "./tunnel-lane.ts";

/** Lanes that an agent may have beside one for each connection. */
export const spareLanesMax = 10_000;

/**
 * Hawser's own link: a lane for each connection, so that HTTP/2's window of each stream keeps one that stalls from its
 * neighbours. The agent opens lanes ahead of need; a dial takes an idle one, or waits for the next. Source: proto/TUNNEL.md.
 */
export class TunnelLink implements AgentLink {
  readonly agent: AgentIdentity;
  /** What each Carry of this link has to bear. Never logged. */
  readonly token: Buffer = randomBytes(16);
  readonly #call: GrpcServerCall;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: ServerMetrics;
  /** Dials and connections together. */
  readonly #connectionsMax: number;
  readonly #stream: LinkStream;
  readonly #watch: ProgressWatch;
  readonly #lanes = new Set<TunnelLane>();
  /** Those of them whose call is about to close. */
  readonly #ending = new Set<TunnelLane>();
  /** Last in, first out: lanes that are not needed stay at the bottom, where the agent may close them. */
  readonly #idle: TunnelLane[] = [];
  readonly #dials = new Map<DialId, PendingDial>();
  /** Those of them that have no lane yet, oldest first. */
  readonly #waiting = new Set<PendingDial>();
  #lanesAsked = false;
  #brokenLane = false;
  /** The agent opens no more lanes. */
  #lanesEnded = false;
  #pingNumber = 0;
  #state: LinkState = "ready";

  constructor(
    deps: {
      readonly call: GrpcServerCall;
      readonly clock: Clock;
      readonly log: Log;
      readonly metrics: ServerMetrics;
    },
    options: { readonly agent: AgentIdentity } & AgentLinkLimits,
  ) {
    this.agent = options.agent;
    this.#connectionsMax = options.agentConnectionsMax;
    this.#call = deps.call;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#stream = new LinkStream(deps.call);
    this.#watch = new ProgressWatch(
      {
        clock: deps.clock,
        pendingDials: () => this.#dials.size,
        probe: () => this.#stream.send({ type: "ping", number: ++this.#pingNumber }),
      },
      { onSilent: () => this.#silent(), giveUp: () => this.#giveUpDials(), onAnswering: () => this.#answering() },
    );
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Lanes that the agent may have. */
  get lanesMax(): number {
    return this.#connectionsMax + spareLanesMax;
  }

  get openConnections(): number {
    const carrying = this.#lanes.size - this.#ending.size - this.#idle.length;
    return carrying - (this.pendingDials - this.#waiting.size);
  }

  get pendingDials(): number {
    return this.#dials.size;
  }

  get lanes(): LaneCounts {
    return { inUse: this.#lanes.size - this.#idle.length, spare: this.#idle.length };
  }

  get roundTripMs(): number | undefined {
    return this.#call.session.roundTripMs;
  }

  silentMs(): number {
    return this.#call.session.silentMs();
  }

  /** Welcomes the agent; resolves with the status of its Link once that has ended and nothing of the link is left. */
  run(): Promise<GrpcStatus> {
    return new Promise((resolve) => {
      this.#stream.start({
        onMessage: (message) => this.#receive(message),
        onEnd: () => this.#end(lost("the agent ended its link"), GrpcCode.OK),
        onBroken: (error) =>
          this.#end(lost(`the agent broke the protocol: ${error.message}`), GrpcCode.INVALID_ARGUMENT),
        onClose: (status) => {
          this.#lose(lost("the connection to the agent was lost"));
          resolve(status);
        },
      });
      this.#call.session.onGoaway(() => this.#goesAway());
      this.#stream.send({ type: "welcome", token: this.token });
    });
  }

  /** Takes over a Carry whose token was this link's. */
  carry(call: GrpcServerCall): void {
    if (this.#state === "closed") {
      call.finish({ code: GrpcCode.UNAVAILABLE, message: "the link has ended" });
      return;
    }
    if (this.#lanes.size >= this.lanesMax) {
      this.#metrics.refused("lanes");
      call.finish({ code: GrpcCode.RESOURCE_EXHAUSTED, message: `a link has at most ${this.lanesMax} lanes` });
      return;
    }
    const lane: TunnelLane = new TunnelLane(
      { call, clock: this.#clock, meter: this.#metrics.agentPackets },
      {
        onIdle: () => this.#laneIdle(lane),
        onAnswered: (dial, how) => {
          this.#dials.delete(dial.order.id);
          if (how === "refused") this.#metrics.dialFailed("error_response");
          this.#watch.answered();
        },
        onUnused: (dial) => this.#findLane(dial),
        onBroken: (error) => this.#laneBroken(error),
        onEnded: () => this.#laneEnded(lane),
        onClose: () => this.#laneClosed(lane),
      },
    );
    this.#lanes.add(lane);
    // One that opens the lanes for thousands of dials has a while until it comes to answer any.
    this.#watch.answered();
    // At the agent a lane counts from its headers on.
    call.sendHeaders();
    lane.start();
    this.#laneIdle(lane);
  }

  dial(order: DialOrder, options: { readonly signal: DialSignal }): Promise<LinkedConnection> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      if (this.#state === "closed") return reject(lost("the link to the agent is closed"));
      if (this.#dials.size + this.openConnections >= this.#connectionsMax) {
        this.#metrics.refused("agent_connections");
        return reject(new ProxyError("over_limit", `the agent has ${this.#connectionsMax} connections already`));
      }
      if (this.#dials.has(order.id)) {
        return reject(new ProxyError("protocol", "another dial with this id is waiting at the agent"));
      }
      const cancel = () => this.#fail(dial, ProxyError.from(signal.reason));
      const settle = <T>(how: (value: T) => void) => {
        return (value: T) => {
          signal.removeEventListener("abort", cancel);
          how(value);
        };
      };
      const dial: PendingDial = { order, lane: undefined, resolve: settle(resolve), reject: settle(reject) };
      this.#dials.set(order.id, dial);
      signal.addEventListener("abort", cancel, { once: true });
      this.#watch.asked();
      this.#findLane(dial);
    });
  }

  /** Asks the agent to link elsewhere; what runs goes on. */
  drain(): void {
    this.#stream.send({ type: "draining" });
  }

  close(reason: ProxyError): void {
    this.#end(reason, GrpcCode.OK);
  }

  #move(to: LinkState): void {
    requireMove(linkMoves, this.#state, to);
    this.#state = to;
  }

  #receive(message: LinkMessage): void {
    if (message.type === "pong") this.#watch.answered();
    else if (message.type === "draining" && this.#drains()) {
      this.#metrics.agentPackets.received("DRAIN");
      this.#log.info("agent drains: it gets new dials only if no other can take them");
    }
  }

  /** False if it did already, or is over. */
  #drains(): boolean {
    if (this.#state !== "ready" && this.#state !== "unresponsive") return false;
    this.#move("draining");
    return true;
  }

  /**
   * GOAWAY has come, also as the answer to this end's own. The lanes that are there go on; who waits for one more may have it
   * of another agent, or of this one's next link.
   */
  #goesAway(): void {
    this.#lanesEnded = true;
    if (this.#drains()) this.#log.debug("agent opens no more lanes here: its link drains");
    for (const dial of [...this.#waiting]) this.#fail(dial, noMoreLanes());
  }

  #findLane(dial: PendingDial): void {
    const lane = this.#idle.pop();
    if (lane === undefined) this.#waitForLane(dial);
    else if (!this.#dialOn(lane, dial)) this.#idle.push(lane);
  }

  /** False if the dial cannot be sent, and has failed: the lane is idle still. */
  #dialOn(lane: TunnelLane, dial: PendingDial): boolean {
    try {
      lane.dial(dial);
      return true;
    } catch (error) {
      this.#fail(dial, ProxyError.from(error));
      return false;
    }
  }

  #waitForLane(dial: PendingDial): void {
    if (this.#lanesEnded) return this.#fail(dial, noMoreLanes());
    this.#waiting.add(dial);
    if (this.#lanesAsked) return;
    this.#lanesAsked = true;
    // Dials often come many at once: one message tells of them all.
    setImmediate(() => {
      this.#lanesAsked = false;
      if (this.#waiting.size > 0) this.#stream.send({ type: "lanesWanted", count: this.#waiting.size });
    });
  }

  #laneIdle(lane: TunnelLane): void {
    for (const dial of this.#waiting) {
      this.#waiting.delete(dial);
      if (this.#dialOn(lane, dial)) return;
    }
    this.#idle.push(lane);
  }

  /** One line tells of an agent that does not speak as it should; it may break as many lanes as it opens. */
  #laneBroken(error: ProxyError): void {
    const level = this.#brokenLane ? "debug" : "warn";
    this.#brokenLane = true;
    this.#log[level]({ reason: error.message }, "lane ended: the agent broke the protocol");
  }

  #laneClosed(lane: TunnelLane): void {
    this.#laneEnded(lane);
    this.#lanes.delete(lane);
    this.#ending.delete(lane);
  }

  /** Its call may take a while to close; no dial may meet it until then. */
  #laneEnded(lane: TunnelLane): void {
    this.#ending.add(lane);
    const at = this.#idle.lastIndexOf(lane);
    if (at >= 0) this.#idle.splice(at, 1);
    if (lane.pending !== undefined) this.#fail(lane.pending, lost("the lane of the dial was lost"));
  }

  #fail(dial: PendingDial, error: ProxyError): void {
    if (!this.#dials.delete(dial.order.id)) return;
    this.#waiting.delete(dial);
    dial.lane?.cancel(error.code);
    dial.reject(error);
  }

  /** It is asked last from now on. */
  #silent(): void {
    if (this.#state === "ready") this.#move("unresponsive");
    this.#log.warn(
      { pending: this.#dials.size },
      "agent answers neither dials nor probes: it is asked last from now on",
    );
  }

  /** Who waits for it may ask another. */
  #giveUpDials(): void {
    for (const dial of [...this.#dials.values()]) this.#fail(dial, lost("the agent does not answer"));
  }

  #answering(): void {
    if (this.#state === "unresponsive") this.#move("ready");
    this.#log.info("agent answers again");
  }

  #end(reason: ProxyError, code: GrpcStatus["code"]): void {
    if (this.#state === "closed") return;
    this.#lose(reason);
    this.#call.fail({ code, message: code === GrpcCode.OK ? "" : reason.message });
  }

  #lose(reason: ProxyError): void {
    if (this.#state === "closed") return;
    this.#move("closed");
    this.#watch.stop();
    for (const dial of [...this.#dials.values()]) {
      this.#metrics.dialFailed("backend_close");
      this.#fail(dial, reason);
    }
    for (const lane of [...this.#lanes]) lane.close(reason);
  }
}

const lost = (message: string): ProxyError => new ProxyError("agent_lost", message);
const noMoreLanes = (): ProxyError => lost("the agent goes away, and opens no more lanes");

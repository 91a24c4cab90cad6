import type { Clock } from "../../shared/clock.ts";
import type { DialId } from "../../shared/dial.ts";
import type { DialSignal } from "../../shared/dial-signal.ts";
import { ProxyError } from "../../shared/errors.ts";
import { GrpcCode, type GrpcStatus } from "../../shared/grpc/status.ts";
import type { GrpcServerCall } from "../../shared/grpc/stream.ts";
import { isHawserAgent } from "../../shared/konnectivity/agent-headers.ts";
import { classifyDialErrorText, cleanErrorText } from "../../shared/konnectivity/dial-error-text.ts";
import type { Packet } from "../../shared/konnectivity/packet.ts";
import { PacketDuplex } from "../../shared/konnectivity/packet-duplex.ts";
import { PacketStream } from "../../shared/konnectivity/packet-stream.ts";
import { StallGuard } from "../../shared/konnectivity/stall-guard.ts";
import { type LinkState, linkMoves, requireMove } from "../../shared/lifecycle.ts";
import type { Log } from "../../shared/log.ts";
import type { ServerMetrics } from "../metrics.ts";
import type { AgentIdentity, AgentLink, AgentLinkLimits, DialOrder, LinkedConnection } from "./link.ts";
import { ProgressWatch } from "./progress-watch.ts";

/** What one connection may have queued towards its frontend when its next packet comes. */
export const queueMaxBytes = 1024 * 1024;

/** An id that no agent gives: it counts up from 1, or from a base well below this. A CLOSE_REQ for it harms nothing, and is answered. */
const unusedConnectId = 2n ** 63n - 1n;

interface PendingDial {
  readonly resolve: (connection: LinkedConnection) => void;
  readonly reject: (error: ProxyError) => void;
}

/**
 * The reference's link: all connections of an agent on one stream of packets. DIAL_REQ, CLOSE_REQ and DATA towards agents
 * are sent here and nowhere else. Connections are keyed by this very stream, so that two streams of one agent id never mix.
 * Source: proto/PROTOCOL.md.
 */
export class KonnectivityLink implements AgentLink {
  readonly agent: AgentIdentity;
  readonly #call: GrpcServerCall;
  readonly #packets: PacketStream;
  readonly #stallGuard: StallGuard;
  readonly #watch: ProgressWatch;
  readonly #log: Log;
  readonly #metrics: ServerMetrics;
  /** Dials and connections together, and among them connections for whose CLOSE_RSP is still waited. */
  readonly #connectionsMax: number;
  readonly #pending = new Map<DialId, PendingDial>();
  /** Every connection until the agent's CLOSE_RSP, also after this side has closed it. */
  readonly #connections = new Map<bigint, PacketDuplex>();
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
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#packets = new PacketStream(deps.call, { meter: deps.metrics.agentPackets });
    this.#stallGuard = new StallGuard(
      { clock: deps.clock, packets: this.#packets },
      { onStalled: (duplex) => this.#stalled(duplex) },
    );
    this.#watch = new ProgressWatch(
      {
        clock: deps.clock,
        pendingDials: () => this.#pending.size,
        probe: () => this.#packets.send({ type: "CLOSE_REQ", connectId: unusedConnectId }),
      },
      { onSilent: () => this.#silent(), giveUp: () => this.#giveUpDials(), onAnswering: () => this.#answering() },
    );
  }

  get state(): LinkState {
    return this.#state;
  }

  get openConnections(): number {
    return this.#connections.size;
  }

  get pendingDials(): number {
    return this.#pending.size;
  }

  get roundTripMs(): number | undefined {
    return this.#call.session.roundTripMs;
  }

  silentMs(): number {
    return this.#call.session.silentMs();
  }

  /** Starts to interpret packets; resolves with the stream's status once the link has ended and nothing of it is left. */
  run(): Promise<GrpcStatus> {
    return new Promise((resolve) => {
      this.#packets.start({
        onPacket: (packet) => this.#receive(packet),
        onEnd: () => this.#end(lost("the agent ended its stream"), GrpcCode.OK),
        // For who waits for a dial it is the agent that is lost, and another one may take it over.
        onBroken: (error) =>
          this.#end(lost(`the agent broke the protocol: ${error.message}`), GrpcCode.INVALID_ARGUMENT),
        onOverload: (error) => this.#end(lost(error.message), GrpcCode.RESOURCE_EXHAUSTED),
        onClose: (status) => {
          this.#lose(lost("the connection to the agent was lost"));
          resolve(status);
        },
      });
    });
  }

  dial(order: DialOrder, options: { readonly signal: DialSignal }): Promise<LinkedConnection> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      if (this.#state === "closed") return reject(new ProxyError("agent_lost", "the link to the agent is closed"));
      if (this.#pending.size + this.#connections.size >= this.#connectionsMax) {
        this.#metrics.refused("agent_connections");
        return reject(new ProxyError("over_limit", `the agent has ${this.#connectionsMax} connections already`));
      }
      if (this.#pending.has(order.id)) {
        return reject(new ProxyError("protocol", "another dial with this id is waiting at the agent"));
      }
      const { protocol, address } = order.target;
      // Throws for a target that cannot be sent. May end the link, if the agent has long stopped reading.
      this.#packets.send({ type: "DIAL_REQ", protocol, address, random: order.id });
      if (this.state === "closed") return reject(new ProxyError("agent_lost", "the agent does not read"));
      const cancel = () => {
        if (!this.#pending.delete(order.id)) return;
        this.#packets.send({ type: "DIAL_CLS", random: order.id });
        reject(signal.reason);
      };
      const settle = <T>(how: (value: T) => void) => {
        return (value: T) => {
          signal.removeEventListener("abort", cancel);
          how(value);
        };
      };
      this.#watch.asked();
      this.#pending.set(order.id, { resolve: settle(resolve), reject: settle(reject) });
      signal.addEventListener("abort", cancel, { once: true });
    });
  }

  /** The only word for it is GOAWAY, on which a reference agent drops all its connections: it is told last. */
  drain(): void {
    if (isHawserAgent(this.agent.userAgent)) this.#call.session.drain();
  }

  close(reason: ProxyError): void {
    this.#end(reason, GrpcCode.OK);
  }

  #move(to: LinkState): void {
    requireMove(linkMoves, this.#state, to);
    this.#state = to;
  }

  #receive(packet: Packet): void {
    switch (packet.type) {
      case "DIAL_RSP":
        return this.#dialAnswered(packet);
      case "DATA":
        return this.#dataArrived(packet.connectId, packet.data);
      case "CLOSE_RSP":
        return this.#connectionClosed(packet.connectId);
      case "DIAL_CLS":
        return this.#dialClosed(packet.random);
      case "DRAIN":
        return this.#drain();
      default:
        this.#log.debug({ packet: packet.type }, "packet that agents do not send ignored");
    }
  }

  #dialAnswered({ random, connectId, error }: Extract<Packet, { type: "DIAL_RSP" }>): void {
    const id = random as DialId;
    const dial = this.#pending.get(id);
    this.#pending.delete(id);
    this.#watch.answered();
    if (dial === undefined) {
      this.#metrics.dialFailed("unrecognized_response");
      // A connection that stands already is not the one that was answered for: closing it would hit a neighbour.
      if (connectId !== 0n && error === "" && !this.#connections.has(connectId)) {
        this.#packets.send({ type: "CLOSE_REQ", connectId });
      }
      return;
    }
    if (error !== "") {
      this.#metrics.dialFailed("error_response");
      const text = cleanErrorText(error);
      dial.reject(new ProxyError(classifyDialErrorText(text), text, { reportedBy: "agent" }));
    } else if (connectId === 0n || this.#connections.has(connectId)) {
      this.#log.warn(
        { dial: `${random}`, connection: `${connectId}` },
        "agent answered a dial with a connection id that cannot be used",
      );
      dial.reject(new ProxyError("protocol", `the agent answered with the unusable connection id ${connectId}`));
    } else {
      const duplex = this.#open(connectId);
      dial.resolve({ duplex, halfClose: false, holds: duplex, readBy: (reader) => duplex.readBy(reader) });
    }
  }

  #open(connectId: bigint): PacketDuplex {
    const duplex = new PacketDuplex({
      packets: this.#packets,
      connectId,
      queueMaxBytes,
      onOverflow: (overflowing) => {
        this.#metrics.fullReceiveChannels.Connect.inc();
        this.#stallGuard.overflow(overflowing);
      },
      onRelief: (relieved) => {
        this.#metrics.fullReceiveChannels.Connect.dec();
        this.#stallGuard.relief(relieved);
      },
      onClosing: () => {
        if (this.#connections.get(connectId) === duplex) this.#packets.send({ type: "CLOSE_REQ", connectId });
      },
    });
    this.#connections.set(connectId, duplex);
    return duplex;
  }

  #dataArrived(connectId: bigint, data: Buffer): void {
    if (connectId === 0n) return;
    const duplex = this.#connections.get(connectId);
    if (duplex !== undefined) duplex.deliver(data);
    else this.#packets.send({ type: "CLOSE_REQ", connectId });
  }

  #connectionClosed(connectId: bigint): void {
    this.#watch.answered();
    const duplex = this.#connections.get(connectId);
    if (duplex === undefined) return;
    this.#connections.delete(connectId);
    duplex.deliverClose();
  }

  #dialClosed(random: bigint): void {
    const dial = this.#pending.get(random as DialId);
    if (dial === undefined) return;
    this.#pending.delete(random as DialId);
    this.#metrics.dialFailed("backend_close");
    dial.reject(new ProxyError("cancelled", "the agent gave the dial up"));
  }

  #drain(): void {
    if (this.#state !== "ready" && this.#state !== "unresponsive") return;
    this.#move("draining");
    this.#log.info("agent drains: it gets new dials only if no other can take them");
  }

  #stalled(duplex: PacketDuplex): void {
    this.#metrics.stalledResets.inc();
    this.#log.warn(
      { code: "stalled", connection: `${duplex.connectId}` },
      "connection reset: its frontend stopped reading",
    );
  }

  /** It is asked last from now on. */
  #silent(): void {
    if (this.#state === "ready") this.#move("unresponsive");
    this.#log.warn(
      { pending: this.#pending.size },
      "agent answers neither dials nor probes: it is asked last from now on",
    );
  }

  /** Who waits for it may ask another. */
  #giveUpDials(): void {
    for (const [random, dial] of [...this.#pending]) {
      this.#pending.delete(random);
      this.#packets.send({ type: "DIAL_CLS", random });
      dial.reject(lost("the agent does not answer"));
    }
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
    const dials = [...this.#pending.values()];
    const connections = [...this.#connections.values()];
    this.#pending.clear();
    this.#connections.clear();
    for (const dial of dials) {
      this.#metrics.dialFailed("backend_close");
      dial.reject(reason);
    }
    for (const duplex of connections) duplex.destroy(reason);
  }
}

const lost = (message: string): ProxyError => new ProxyError("agent_lost", message);

import { randomInt } from "node:crypto";
import type { Clock } from "../../shared/clock.ts";
import { asDialId, type DialRequest } from "../../shared/dial.ts";
import { DialController } from "../../shared/dial-signal.ts";
import { ProxyError } from "../../shared/errors.ts";
import type { GrpcClientCall } from "../../shared/grpc/stream.ts";
import type { Packet } from "../../shared/konnectivity/packet.ts";
import { PacketDuplex } from "../../shared/konnectivity/packet-duplex.ts";
import { PacketStream } from "../../shared/konnectivity/packet-stream.ts";
import { StallGuard } from "../../shared/konnectivity/stall-guard.ts";
import { type LinkState, linkMoves, requireMove } from "../../shared/lifecycle.ts";
import type { Log } from "../../shared/log.ts";
import type { AgentMetrics } from "../metrics.ts";
import type { ServerLink } from "./link.ts";

/** What one connection may have queued towards its endpoint when its next packet comes. */
const queueMaxBytes = 1024 * 1024;

/**
 * The reference's link: all connections of this agent with one server on one stream of packets. DIAL_RSP, CLOSE_RSP and DATA
 * towards servers are sent here and nowhere else. Source: proto/PROTOCOL.md.
 */
export class KonnectivityLink implements ServerLink {
  readonly server: { readonly id: string; readonly count: number };
  readonly ended: Promise<ProxyError>;
  readonly #call: GrpcClientCall;
  readonly #packets: PacketStream;
  readonly #stallGuard: StallGuard;
  readonly #log: Log;
  readonly #metrics: AgentMetrics;
  readonly #onDial: (request: DialRequest) => void;
  /** Dials without an answer, with what cancels them. */
  readonly #dialing = new Map<bigint, DialController>();
  /** Every connection until its CLOSE_RSP is sent. */
  readonly #connections = new Map<bigint, PacketDuplex>();
  /** A random base, so that ids of a stream before a reconnect do not name connections of the one after it. */
  #lastConnectId = BigInt(randomInt(2 ** 40)) << 20n;
  #state: LinkState = "ready";
  #resolveEnded: (reason: ProxyError) => void = () => {};

  /** `call` has its response headers already: they are `server`. */
  constructor(
    deps: {
      readonly call: GrpcClientCall;
      readonly clock: Clock;
      readonly log: Log;
      readonly metrics: AgentMetrics;
      readonly onDial: (request: DialRequest) => void;
    },
    options: { readonly server: { readonly id: string; readonly count: number } },
  ) {
    this.server = options.server;
    this.#call = deps.call;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#onDial = deps.onDial;
    this.#packets = new PacketStream(deps.call, { meter: deps.metrics.packets });
    this.#stallGuard = new StallGuard(
      { clock: deps.clock, packets: this.#packets },
      { onStalled: (duplex) => this.#stalled(duplex) },
    );
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  get busy(): boolean {
    return this.#dialing.size + this.#connections.size > 0;
  }

  /** Starts to interpret packets. */
  start(): void {
    this.#packets.start({
      onPacket: (packet) => this.#receive(packet),
      onEnd: () => {},
      onBroken: (error) => this.close(new ProxyError("protocol", error.message)),
      onOverload: (error) => this.close(error),
      onClose: (status) =>
        this.#lose(new ProxyError("agent_lost", `the server's stream ended: ${status.message || "closed"}`)),
    });
  }

  drain(): void {
    if (this.#state !== "ready") return;
    this.#move("draining");
    this.#packets.send({ type: "DRAIN" });
  }

  close(reason: ProxyError): void {
    this.#lose(reason);
    this.#call.cancel(reason.message);
  }

  #move(to: LinkState): void {
    requireMove(linkMoves, this.#state, to);
    this.#state = to;
  }

  #receive(packet: Packet): void {
    switch (packet.type) {
      case "DIAL_REQ":
        return this.#dialRequested(packet);
      case "DATA":
        return this.#dataArrived(packet.connectId, packet.data);
      case "CLOSE_REQ":
        return this.#closeRequested(packet.connectId);
      case "DIAL_CLS":
        return this.#dialing.get(packet.random)?.abort(new ProxyError("cancelled", "the client cancelled the dial"));
      default:
        this.#log.debug({ packet: packet.type }, "packet that servers do not send ignored");
    }
  }

  #dialRequested({ protocol, address, random }: Extract<Packet, { type: "DIAL_REQ" }>): void {
    if (this.#dialing.has(random)) {
      this.#log.warn({ dial: `${random}` }, "dial ignored: one with this id is under way");
      return;
    }
    const cancel = new DialController();
    this.#dialing.set(random, cancel);
    // Exactly one answer a dial, also for one that was cancelled: the reference's server has forgotten it and ignores ours.
    const answered = () => this.#dialing.get(random) === cancel && this.#dialing.delete(random);
    const refuse = (error: ProxyError) => {
      if (answered())
        this.#packets.send({ type: "DIAL_RSP", random, connectId: 0n, error: `${error.message} (dial ${random})` });
    };
    cancel.signal.addEventListener("abort", () => refuse(ProxyError.from(cancel.reason)), { once: true });
    this.#onDial({
      id: asDialId(random),
      target: { protocol, address },
      signal: cancel.signal,
      accept: async () => {
        if (!answered()) throw new ProxyError("cancelled", "the dial is not waited for any more");
        const duplex = this.#open(random);
        return { duplex, halfClose: false, holds: duplex, readBy: (reader) => duplex.readBy(reader) };
      },
      refuse,
    });
  }

  #open(random: bigint): PacketDuplex {
    this.#lastConnectId += 1n;
    const connectId = this.#lastConnectId;
    const duplex = new PacketDuplex({
      packets: this.#packets,
      connectId,
      queueMaxBytes,
      onOverflow: (overflowing) => this.#stallGuard.overflow(overflowing),
      onRelief: (relieved) => this.#stallGuard.relief(relieved),
      onClosing: () => {
        if (!this.#connections.delete(connectId)) return;
        this.#packets.send({ type: "CLOSE_RSP", connectId, error: "" });
        // The server forgets the connection with this answer: nothing more comes from it.
        duplex.deliverClose();
      },
    });
    this.#connections.set(connectId, duplex);
    this.#packets.send({ type: "DIAL_RSP", random, connectId, error: "" });
    return duplex;
  }

  #dataArrived(connectId: bigint, data: Buffer): void {
    if (connectId === 0n) return;
    const duplex = this.#connections.get(connectId);
    if (duplex !== undefined) duplex.deliver(data);
    else this.#packets.send({ type: "CLOSE_RSP", connectId, error: "unrecognized connectID" });
  }

  #closeRequested(connectId: bigint): void {
    const duplex = this.#connections.get(connectId);
    if (duplex !== undefined) duplex.deliverClose();
    else this.#packets.send({ type: "CLOSE_RSP", connectId, error: "Unknown connectID" });
  }

  #stalled(duplex: PacketDuplex): void {
    this.#metrics.stalledResets.inc();
    this.#log.warn(
      { code: "stalled", connection: `${duplex.connectId}` },
      "connection reset: its endpoint stopped reading",
    );
  }

  #lose(reason: ProxyError): void {
    if (this.#state === "closed") return;
    this.#move("closed");
    const dials = [...this.#dialing.values()];
    const connections = [...this.#connections.values()];
    this.#dialing.clear();
    this.#connections.clear();
    for (const dial of dials) dial.abort(reason);
    for (const duplex of connections) duplex.destroy(reason);
    this.#resolveEnded(reason);
  }
}

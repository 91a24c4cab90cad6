import { asDialId, type DialRequest } from "../../shared/dial.ts";
import { DialController } from "../../shared/dial-signal.ts";
import { ProxyError } from "../../shared/errors.ts";
import { GrpcCode } from "../../shared/grpc/status.ts";
import type { GrpcServerCall } from "../../shared/grpc/stream.ts";
import type { Packet } from "../../shared/konnectivity/packet.ts";
import { PacketDuplex } from "../../shared/konnectivity/packet-duplex.ts";
import { PacketStream } from "../../shared/konnectivity/packet-stream.ts";
import { type Moves, requireMove } from "../../shared/lifecycle.ts";
import type { Log } from "../../shared/log.ts";
import type { ServerMetrics } from "../metrics.ts";

/** What the endpoint-bound queue may hold when the next packet comes; then this stream, which nobody shares, pauses. */
export const queueMaxBytes = 256 * 1024;

type State =
  | { readonly name: "idle" }
  | { readonly name: "dialing"; readonly random: bigint; readonly cancel: DialController }
  | { readonly name: "open"; readonly random: bigint; readonly duplex: PacketDuplex }
  | { readonly name: "discarding" };

/** A dial that the client cancels leads back to idle; after any other answer or end the stream is of no more use. */
export const frontendStreamMoves = {
  idle: ["dialing", "discarding"],
  dialing: ["idle", "open", "discarding"],
  open: ["discarding"],
  discarding: [],
} as const satisfies Moves<State["name"]>;

/**
 * One Proxy stream of a client: at most one connection. DIAL_RSP, CLOSE_RSP and DATA towards clients are sent here and
 * nowhere else. After an answer that ends the stream's use, packets are read and dropped until the client leaves, as the
 * reference does. Source: proto/PROTOCOL.md.
 */
export class GrpcFrontendStream {
  readonly #call: GrpcServerCall;
  readonly #packets: PacketStream;
  readonly #log: Log;
  readonly #metrics: ServerMetrics;
  readonly #dial: (request: DialRequest) => void;
  #state: State = { name: "idle" };
  #closed = false;

  constructor(deps: {
    readonly call: GrpcServerCall;
    readonly log: Log;
    readonly metrics: ServerMetrics;
    readonly dial: (request: DialRequest) => void;
  }) {
    this.#call = deps.call;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
    this.#dial = deps.dial;
    this.#packets = new PacketStream(deps.call, { meter: deps.metrics.frontendPackets });
  }

  start(): void {
    const gone = () => {
      // The usual end: the connection was closed before. An error would have to be made for nothing, with its stack.
      if (this.#state.name !== "discarding") this.#leave(new ProxyError("cancelled", "the client has gone"));
    };
    this.#packets.start({
      onPacket: (packet) => this.#receive(packet),
      // A client's half-close is the end of all it asked for.
      onEnd: () => {
        gone();
        this.#call.fail({ code: GrpcCode.OK, message: "" });
      },
      onBroken: (error) => this.#fail(new ProxyError("protocol", error.message)),
      onOverload: (error) => this.#fail(error),
      onClose: () => {
        this.#closed = true;
        gone();
      },
    });
  }

  /** The one writer of the state. */
  #move(to: State): void {
    requireMove(frontendStreamMoves, this.#state.name, to.name);
    this.#state = to;
  }

  #receive(packet: Packet): void {
    if (this.#state.name === "discarding") return;
    switch (packet.type) {
      case "DIAL_REQ":
        return this.#dialRequested(packet);
      case "DATA":
        return this.#dataArrived(packet.connectId, packet.data);
      case "CLOSE_REQ":
        return this.#closeRequested(packet.connectId);
      case "DIAL_CLS":
        return this.#dialCancelled(packet.random);
      default:
        this.#log.debug({ packet: packet.type }, "packet that clients do not send ignored");
    }
  }

  #dialRequested({ protocol, address, random }: Extract<Packet, { type: "DIAL_REQ" }>): void {
    if (this.#state.name !== "idle") {
      // Go's client takes an answer with its own id for the answer to its first dial: one that repeats it gets none.
      if (this.#state.name !== "discarding" && this.#state.random === random) return;
      this.#answerDial(random, { error: `this stream has a dial already (dial ${random})` });
      return;
    }
    const cancel = new DialController();
    const dialing: State = { name: "dialing", random, cancel };
    this.#move(dialing);
    this.#dial({
      id: asDialId(random),
      target: { protocol, address },
      signal: cancel.signal,
      accept: async () => {
        if (this.#state !== dialing || this.#closed) throw new ProxyError("cancelled", "the client has gone");
        const duplex = this.#open(random);
        // What the endpoint has to say is held back from when the answer has left, not from when it was queued.
        await this.#call.flushed();
        return { duplex, halfClose: false, holds: duplex };
      },
      refuse: (error) => {
        if (this.#state !== dialing) return;
        this.#move({ name: "discarding" });
        this.#answerDial(random, { error: refusalText(error, random) });
      },
    });
  }

  #answerDial(random: bigint, answer: { readonly connectId?: bigint; readonly error?: string }): void {
    this.#packets.send({ type: "DIAL_RSP", random, connectId: answer.connectId ?? 0n, error: answer.error ?? "" });
  }

  #open(random: bigint): PacketDuplex {
    // The dial's own number: a stream has one connection, and so one number follows it everywhere. Zero means "absent".
    const connectId = random === 0n ? 1n : random;
    const duplex = new PacketDuplex({
      packets: this.#packets,
      ownsStream: true,
      connectId,
      queueMaxBytes,
      onOverflow: () => {
        this.#metrics.fullReceiveChannels.Proxy.inc();
        this.#packets.pause();
      },
      onRelief: () => {
        this.#metrics.fullReceiveChannels.Proxy.dec();
        this.#packets.resume();
      },
      onClosing: () => {
        if (this.#state.name !== "open") return;
        this.#move({ name: "discarding" });
        // What waits for a client that does not read would stay, and the answer with it.
        if (isOverLimit(duplex.errored)) return this.#failCall(duplex.errored);
        this.#answerClose(connectId, "");
        // The client forgets the connection with this answer: nothing more comes from it.
        duplex.deliverClose();
      },
    });
    this.#move({ name: "open", random, duplex });
    this.#answerDial(random, { connectId });
    return duplex;
  }

  #dataArrived(connectId: bigint, data: Buffer): void {
    if (connectId === 0n) return;
    switch (this.#state.name) {
      case "idle":
        this.#move({ name: "discarding" });
        this.#answerClose(connectId, "backend not initialized");
        return;
      case "open":
        if (connectId === this.#state.duplex.connectId) this.#state.duplex.deliver(data);
        else this.#mismatch(this.#state.duplex, connectId);
        return;
      default:
        this.#answerClose(connectId, "unrecognized connectID");
    }
  }

  /** A stream has one connection: data for another one ends both, as in the reference. */
  #mismatch(duplex: PacketDuplex, connectId: bigint): void {
    this.#answerClose(connectId, "mismatched connection IDs");
    this.#answerClose(duplex.connectId, "mismatched connection IDs");
    this.#leave(new ProxyError("protocol", "the client mixed up connection ids"));
  }

  #closeRequested(connectId: bigint): void {
    if (this.#state.name === "idle") return this.#answerClose(connectId, "backend uninitialized");
    if (this.#state.name === "open" && connectId === this.#state.duplex.connectId) {
      return this.#state.duplex.deliverClose();
    }
    this.#answerClose(connectId, "Unknown connectID");
    if (this.#state.name === "dialing")
      this.#leave(new ProxyError("cancelled", "the client closed before the dial was answered"));
  }

  #answerClose(connectId: bigint, error: string): void {
    this.#packets.send({ type: "CLOSE_RSP", connectId, error });
  }

  #dialCancelled(random: bigint): void {
    if (this.#state.name === "idle" || this.#state.name === "discarding" || this.#state.random !== random) return;
    const cancelled = new ProxyError("cancelled", "the client cancelled the dial");
    if (this.#state.name === "open") return this.#leave(cancelled);
    const { cancel } = this.#state;
    this.#move({ name: "idle" });
    cancel.abort(cancelled);
  }

  /** Drops what this stream has; nothing more is said about it to the client. */
  #leave(reason: ProxyError): void {
    const state = this.#state;
    if (state.name === "discarding") return;
    this.#move({ name: "discarding" });
    if (state.name === "dialing") state.cancel.abort(reason);
    if (state.name === "open") state.duplex.destroy(reason);
  }

  #fail(error: ProxyError): void {
    this.#log.warn({ code: error.code, reason: error.message }, "client stream ended");
    this.#leave(error);
    this.#failCall(error);
  }

  #failCall(error: ProxyError): void {
    this.#call.fail({ code: error.traits.grpc, message: error.message });
  }
}

const isOverLimit = (error: unknown): error is ProxyError => error instanceof ProxyError && error.code === "over_limit";

/** Texts that the reference has stay as they are; ours name the dial, so that it can be found in the logs of both halves. */
function refusalText(error: ProxyError, random: bigint): string {
  const known = error.reportedBy === "agent" || error.code === "no_agent" || error.code === "dial_timeout";
  return known ? error.message : `${error.message} (dial ${random})`;
}

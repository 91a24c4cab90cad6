import type { Clock } from "../clock.ts";
import { type ErrorCode, errorTraits, ProxyError } from "../errors.ts";
import type { GrpcStatus } from "../grpc/status.ts";
import type { GrpcStream } from "../grpc/stream.ts";
import type { PacketMeter } from "../konnectivity/packet-stream.ts";
import { WireError } from "../protobuf/wire.ts";
import { LaneDuplex } from "./lane-duplex.ts";
import { type LaneAct, type LaneRole, type LaneState, laneAct, laneEvent, sendsData, takesData } from "./lane-state.ts";
import {
  dataHead,
  dataHeadBytes,
  decodeLaneMessage,
  encodeLaneMessage,
  type LaneMessage,
  laneMessageMaxBytes,
  type UnknownMessage,
} from "./messages.ts";

type Dial = Extract<LaneMessage, { type: "dial" }>;
type Dialed = Extract<LaneMessage, { type: "dialed" }>;
type Refused = Extract<LaneMessage, { type: "refused" }>;

/** Who owns a lane, at either end. */
export interface LaneOwner {
  /** At the agent: a turn begins. `accept` or `refuse` is called once, unless `onDialReset` comes first. */
  onDial?(dial: Dial): void;
  /** At the agent: the server does not wait for this dial any more. */
  onDialReset?(error: ProxyError): void;
  /** At the server: the connection stands. */
  onDialed?(answer: Dialed, duplex: LaneDuplex): void;
  /** At the server: there is no connection. `onIdle` follows. */
  onRefused?(answer: Refused): void;
  /** The turn is over, and the lane may be used again. */
  onIdle(): void;
  /** The peer sends no more on this lane. Legal for an agent's idle lane alone. */
  onEnd(): void;
  /**
   * At the server: a Reset has not been answered for two seconds, for it waits behind data that the endpoint does not read.
   * The owner ends the call, which waits for nothing.
   */
  onStuck?(): void;
  /** The peer broke the protocol: the owner ends the call. */
  onBroken(error: ProxyError): void;
  /** The call has ended, and with it what the lane carried. The last callback. */
  onClose(status: GrpcStatus): void;
}

/**
 * Of the longest message that makes sense on a lane that carries no data: thousands of lanes with a longer one that never ends would
 * hold gigabytes.
 */
export const controlMessageMaxBytes = 8 * 1024;
/** Waits for a peer that reads nothing: data stops long before this, so it is answers to what the peer sends without end. */
export const queueMaxBytes = 256 * 1024;

/** How long the other end may take to answer a Reset. */
const resetAnswerMs = 2_000;

/** The reference's packet that a message stands for, for the packet counters. */
const packetTypes = { dial: "DIAL_REQ", dialed: "DIAL_RSP", refused: "DIAL_RSP", data: "DATA" } as const;
const closePackets = { server: "CLOSE_REQ", agent: "CLOSE_RSP" } as const;

/**
 * One lane, at either end: a gRPC stream that carries one connection at a time, one after the other. It alone knows where
 * the lane stands; the moves are in lane-state.ts. Source: proto/TUNNEL.md.
 */
export class Lane {
  readonly #stream: GrpcStream;
  readonly #role: LaneRole;
  readonly #peer: LaneRole;
  readonly #clock: Clock;
  readonly #meter: PacketMeter;
  readonly #owner: LaneOwner;
  #state: LaneState = "idle";
  #turn = 0;
  #duplex: LaneDuplex | undefined;
  #broken = false;
  #closed = false;
  #stopWaiting: () => void = () => {};

  constructor(
    stream: GrpcStream,
    deps: { readonly role: LaneRole; readonly clock: Clock; readonly meter: PacketMeter; readonly owner: LaneOwner },
  ) {
    this.#stream = stream;
    this.#role = deps.role;
    this.#peer = deps.role === "server" ? "agent" : "server";
    this.#clock = deps.clock;
    this.#meter = deps.meter;
    this.#owner = deps.owner;
  }

  get state(): LaneState {
    return this.#state;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Starts to interpret messages. Call it once. */
  start(): void {
    this.#stream.start({
      messageMaxBytes: () => this.#messageMaxBytes,
      onMessage: (message) => this.#receive(message),
      bulkHead: dataHeadBytes,
      onBulk: (data) => this.#receiveData(data),
      onDrain: () => this.#duplex?.drained(),
      onEnd: () => this.#owner.onEnd(),
      onClose: (status) => this.#close(status),
    });
  }

  /** At the server, on an idle lane: begins a turn. Throws WireError for a dial that cannot be sent. */
  dial(order: Omit<Dial, "type" | "turn">): void {
    const message: Dial = { type: "dial", turn: this.#turn + 1, ...order };
    const pieces = encodeLaneMessage(message);
    this.#act("dial");
    this.#turn = message.turn;
    this.#put(message, pieces);
  }

  /** At the agent, while dialing: the connection stands. Returns this end of it. */
  accept(reached: string): LaneDuplex {
    this.#act("dialed");
    this.#send({ type: "dialed", turn: this.#turn, reached });
    return this.#open();
  }

  /** At the agent, while dialing: ends the turn. */
  refuse(error: ProxyError): void {
    this.#act("refused");
    this.#send({ type: "refused", turn: this.#turn, code: error.code, text: error.message });
    this.#owner.onIdle();
  }

  /** At the server, while dialing: the answer is not wanted any more. */
  cancel(code: ErrorCode): void {
    this.#reset(code);
  }

  /** Drops the connection with `reason`, in an orderly way no more: the owner ends the call now. */
  abandon(reason: ProxyError): void {
    this.#closed = true;
    this.#stopWaiting();
    this.#duplex?.destroy(reason);
    this.#duplex = undefined;
  }

  get #messageMaxBytes(): number {
    return this.#state === "idle" || this.#state === "dialing" ? controlMessageMaxBytes : laneMessageMaxBytes;
  }

  #act(act: LaneAct): void {
    const to = laneAct(this.#role, this.#state, act);
    if (to === undefined) throw new Error(`illegal ${act} on a lane that is ${this.#state}`);
    this.#state = to;
  }

  #open(): LaneDuplex {
    const turn = this.#turn;
    const isOver = () => this.#turn !== turn || this.#state === "idle" || this.#closed;
    const duplex = new LaneDuplex({
      heldBytes: () => (isOver() ? 0 : this.#stream.heldBytes),
      send: (data) => {
        // Once the other end has reset, what is still written has no reader.
        if (isOver() || this.#state === "resetting") return true;
        return this.#sendData(data);
      },
      end: () => {
        if (isOver() || this.#state === "resetting") return;
        this.#act("end");
        this.#send({ type: "end", turn });
        if (isOver()) this.#turnOver();
      },
      reset: (code) => {
        if (!isOver() && this.#state !== "resetting") this.#reset(code);
      },
      pause: () => {
        if (!isOver()) this.#stream.pause();
      },
      resume: () => {
        if (this.#turn === turn) this.#stream.resume();
      },
    });
    this.#duplex = duplex;
    return duplex;
  }

  #reset(code: ErrorCode): void {
    this.#act("reset");
    this.#send({ type: "reset", turn: this.#turn, code });
    // What comes until the other end's last message is dropped, but has to come.
    this.#stream.resume();
    if (this.#state === "idle") this.#turnOver();
    else if (this.#role === "server")
      this.#stopWaiting = this.#clock.after(resetAnswerMs, () => this.#owner.onStuck?.());
  }

  #turnOver(): void {
    this.#stopWaiting();
    this.#duplex = undefined;
    if (!this.#closed) this.#owner.onIdle();
  }

  /** Returns false when no more should be sent until `onDrain`. */
  #send(message: LaneMessage): boolean {
    return this.#put(message, encodeLaneMessage(message));
  }

  #put(message: LaneMessage, pieces: readonly Uint8Array[]): boolean {
    const packetType = this.#packetType(message.type, this.#role);
    this.#meter.sent(packetType);
    if (!this.#closed) return this.#stream.send(...pieces);
    this.#meter.sendFailed(packetType);
    return true;
  }

  #packetType(type: LaneMessage["type"], sender: LaneRole): string {
    return type === "end" || type === "reset" ? closePackets[sender] : packetTypes[type];
  }

  #sendData(data: Buffer): boolean {
    if (!sendsData.has(this.#state)) throw new Error(`illegal data on a lane that is ${this.#state}`);
    this.#meter.sent(packetTypes.data);
    return this.#stream.send(dataHead(data.length), data);
  }

  #receive(bytes: Buffer): void {
    const headBytes = dataHeadBytes(bytes, bytes.length);
    if (headBytes > 0) this.#receiveData(bytes.subarray(headBytes));
    else this.#guarded(() => this.#heed(decodeLaneMessage(bytes)));
  }

  /** A part of a data message counts as one, and is one to whoever reads. */
  #receiveData(data: Buffer): void {
    if (this.#broken || !takesData.has(this.#state)) return this.#guarded(() => this.#heed({ type: "data", data }));
    this.#meter.received(packetTypes.data);
    this.#duplex?.deliver(data);
  }

  #guarded(receive: () => void): void {
    if (this.#broken) return;
    try {
      receive();
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#broken = true;
      this.#meter.receiveFailed();
      this.#owner.onBroken(error);
    }
  }

  #heed(message: LaneMessage | UnknownMessage): void {
    if (message.type === "unknown") return;
    this.#meter.received(this.#packetType(message.type, this.#peer));
    if (message.type !== "data" && this.#isOfEarlierTurn(message)) return;
    const step = laneEvent(this.#role, this.#state, message.type);
    if (step === undefined) throw new WireError(`${message.type} on a lane that is ${this.#state}`);
    const from = this.#state;
    this.#state = step.to;
    if (step.do === "answer") this.#send({ type: "reset", turn: this.#turn, code: "cancelled" });
    if (this.#stream.bufferedBytes > queueMaxBytes) throw new WireError("messages on a lane whose peer reads nothing");
    if (step.do !== "drop") this.#deliver(message, from === "dialing");
    if (from !== "idle" && step.to === "idle") this.#turnOver();
  }

  /** Throws WireError for a turn that cannot be yet. */
  #isOfEarlierTurn(message: Exclude<LaneMessage, { type: "data" }>): boolean {
    const expected = message.type === "dial" ? this.#turn + 1 : this.#turn;
    if (message.turn > expected || (message.type === "dial" && message.turn < expected)) {
      throw new WireError(`${message.type} of turn ${message.turn} in turn ${this.#turn}`);
    }
    return message.turn < expected;
  }

  #deliver(message: LaneMessage, wasDialing: boolean): void {
    switch (message.type) {
      case "dial":
        this.#turn = message.turn;
        this.#owner.onDial?.(message);
        return;
      case "dialed":
        this.#owner.onDialed?.(message, this.#open());
        return;
      case "refused":
        this.#owner.onRefused?.(message);
        return;
      case "data":
        this.#duplex?.deliver(message.data);
        return;
      case "end":
        this.#duplex?.deliverEnd();
        return;
      case "reset": {
        const error = resetError(message.code, this.#peer);
        if (wasDialing) this.#owner.onDialReset?.(error);
        else this.#duplex?.destroy(error);
      }
    }
  }

  #close(status: GrpcStatus): void {
    this.abandon(new ProxyError("agent_lost", `the lane was lost: ${status.message || "closed"}`));
    this.#owner.onClose(status);
  }
}

/** What the other end's Reset means here. A code of a later version is not known, and says at least that something failed. */
function resetError(code: string, peer: LaneRole): ProxyError {
  const known = Object.hasOwn(errorTraits, code) ? (code as ErrorCode) : "internal";
  return new ProxyError(known, `the ${peer} reset the connection: ${known}`, { reportedBy: peer });
}

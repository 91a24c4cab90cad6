import { ProxyError } from "../errors.ts";
import type { GrpcCode, GrpcStatus } from "../grpc/status.ts";
import type { GrpcStream } from "../grpc/stream.ts";
import { decodePacket, encodePacket, type KnownPacket, type Packet, WireError } from "./packet.ts";

/** Told of every packet, for the reference's packet counters. `packetType` is the wire's name, or the number of an unknown type. */
export interface PacketMeter {
  sent(packetType: string): void;
  received(packetType: string): void;
  sendFailed(packetType: string): void;
  /** `code` is the stream's, where it broke. */
  receiveFailed(code?: GrpcCode): void;
}

export interface PacketReceiver {
  onPacket(packet: Packet): void;
  /** The peer half-closed. */
  onEnd(): void;
  /** A message that is no valid packet came; none follows. The owner ends the stream. */
  onBroken(error: WireError): void;
  /** The peer has long stopped reading what it is sent. Called once; the owner ends the stream. */
  onOverload(error: ProxyError): void;
  /** The last callback. */
  onClose(status: GrpcStatus): void;
}

/** A peer that lets this much wait for it does not read: its control packets would grow without bound. */
export const backlogMaxBytes = 8 * 1024 * 1024;

/**
 * The reference's packets over one gRPC stream, with one queue for all senders: who may send more is told in turn.
 * The shared stream of an agent has one of these, and so has each frontend stream.
 */
export class PacketStream {
  readonly #stream: GrpcStream;
  readonly #meter: PacketMeter;
  /** Senders that wait until the stream takes more, first come first served. */
  readonly #waiting = new Set<() => void>();
  #receiver: PacketReceiver | undefined;
  #full = false;
  #overloaded = false;
  #closed = false;
  #broken = false;

  constructor(stream: GrpcStream, deps: { readonly meter: PacketMeter }) {
    this.#stream = stream;
    this.#meter = deps.meter;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** As of a gRPC stream. */
  get heldBytes(): number {
    return this.#stream.heldBytes;
  }

  /** Starts delivery. Call it once. */
  start(receiver: PacketReceiver): void {
    this.#receiver = receiver;
    this.#stream.start({
      onMessage: (message) => this.#receive(message, receiver),
      onDrain: () => this.#drained(),
      onEnd: () => receiver.onEnd(),
      onClose: (status) => {
        this.#closed = true;
        if (status.code !== 0) this.#meter.receiveFailed(status.code);
        receiver.onClose(status);
        for (const wake of this.#waiting) {
          this.#waiting.delete(wake);
          wake();
        }
      },
    });
  }

  /**
   * Sends one packet at once, whatever waits: meant for packets that are few and small. Bytes of DATA are not copied.
   * Dropped after the close.
   */
  send(packet: KnownPacket): void {
    this.#meter.sent(packet.type);
    if (this.#closed) {
      this.#meter.sendFailed(packet.type);
      return;
    }
    if (!this.#stream.send(...encodePacket(packet))) this.#full = true;
    if (this.#stream.bufferedBytes > backlogMaxBytes && !this.#overloaded) {
      this.#overloaded = true;
      this.#receiver?.onOverload(
        new ProxyError("over_limit", `the peer leaves more than ${backlogMaxBytes} bytes unread`),
      );
    }
  }

  /**
   * Calls `wake` when this sender may send: in this turn if the stream has room, else after a drain, in order of asking.
   * After the close it is called at once. A function may wait once at a time; `waitNoMore` takes it off.
   */
  whenWritable(wake: () => void): void {
    if (this.#full && !this.#closed) this.#waiting.add(wake);
    else wake();
  }

  waitNoMore(wake: () => void): void {
    this.#waiting.delete(wake);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  #receive(message: Buffer, receiver: PacketReceiver): void {
    if (this.#broken) return;
    let packet: Packet;
    try {
      packet = decodePacket(message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#broken = true;
      this.#meter.receiveFailed();
      receiver.onBroken(error);
      return;
    }
    this.#meter.received(packet.type === "UNKNOWN" ? String(packet.number) : packet.type);
    receiver.onPacket(packet);
  }

  #drained(): void {
    this.#full = false;
    // One that asks again while this runs goes to the end, and is reached if there is still room.
    for (const wake of this.#waiting) {
      if (this.#full) return;
      this.#waiting.delete(wake);
      wake();
    }
  }
}

import { Socket } from "node:net";
import { emptyMetadata, type Metadata } from "../../shared/grpc/metadata.ts";
import { GrpcCode, type GrpcStatus } from "../../shared/grpc/status.ts";
import type {
  GrpcClientCall,
  GrpcReceiver,
  GrpcServerCall,
  GrpcServerSession,
  GrpcStream,
} from "../../shared/grpc/stream.ts";
import { decodePacket, encodePacket, type KnownPacket, type Packet } from "../../shared/konnectivity/packet.ts";

/** One end of a gRPC call whose other end is the test: what is sent is kept, what comes is put in by hand. */
export class FakeGrpcStream implements GrpcStream {
  /** What `send` answers, and what it says about the queue. */
  full = false;
  bufferedBytes = 0;
  heldBytes = 0;

  flushed(): Promise<void> {
    return Promise.resolve();
  }

  paused = false;
  readonly closed: Promise<GrpcStatus>;
  readonly #sent: Packet[] = [];
  readonly #incoming: Buffer[] = [];
  #receiver: GrpcReceiver | undefined;
  #settle: (status: GrpcStatus) => void = () => {};
  #status: GrpcStatus | undefined;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get writable(): boolean {
    return this.#status === undefined;
  }

  /** How the call ended, once it has. */
  get status(): GrpcStatus | undefined {
    return this.#status;
  }

  /** The packets that were sent since this was last called. */
  taken(): readonly Packet[] {
    return this.#sent.splice(0);
  }

  send(...pieces: readonly Uint8Array[]): boolean {
    if (this.#status !== undefined) return false;
    this.#sent.push(decodePacket(Buffer.concat(pieces)));
    return !this.full;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    queueMicrotask(() => this.#deliver());
  }

  start(receiver: GrpcReceiver): void {
    this.#receiver = receiver;
    queueMicrotask(() => this.#deliver());
  }

  /** Packets from the peer; they wait while the stream is paused. */
  receive(...packets: readonly KnownPacket[]): void {
    for (const packet of packets) this.receiveMessage(Buffer.concat(encodePacket(packet)));
  }

  receiveMessage(message: Buffer): void {
    this.#incoming.push(message);
    this.#deliver();
  }

  /** The peer half-closes. */
  receiveEnd(): void {
    this.#receiver?.onEnd?.();
  }

  /** The stream takes more. */
  drain(): void {
    this.full = false;
    this.bufferedBytes = 0;
    this.#receiver?.onDrain?.();
  }

  /** The call ends, whoever ended it. */
  close(status: GrpcStatus): void {
    if (this.#status !== undefined) return;
    this.#status = status;
    this.#settle(status);
    this.#receiver?.onClose(status);
  }

  #deliver(): void {
    while (!this.paused && this.#status === undefined && this.#receiver !== undefined) {
      const message = this.#incoming.shift();
      if (message === undefined) return;
      this.#receiver.onMessage(message);
    }
  }
}

export class FakeServerCall extends FakeGrpcStream implements GrpcServerCall {
  readonly path = "/test";
  readonly metadata: Metadata = emptyMetadata;
  readonly deadlineAt = undefined;
  /** GOAWAYs sent on its connection. */
  goawayCount = 0;
  /** What a GOAWAY from the peer sets off. */
  goaway = (): void => {};
  readonly session: GrpcServerSession = {
    socket: new Socket(),
    peer: "192.0.2.1:4711",
    callCount: 1,
    silentMs: () => 0,
    onGoaway: (listener) => {
      this.goaway = listener;
    },
    allowCalls: () => {},
    tuneWindows: () => {},
    resetWhenSilent: () => {},
    roundTripMs: undefined,
    drain: () => {
      this.goawayCount += 1;
    },
    abort: () => {},
    closed: new Promise(() => {}),
  };

  sendHeaders(): void {}

  finish(status: GrpcStatus): void {
    this.close(status);
  }

  fail(status: GrpcStatus): void {
    this.close(status);
  }

  reset(status: GrpcStatus): void {
    this.close(status);
  }
}

export class FakeClientCall extends FakeGrpcStream implements GrpcClientCall {
  readonly headers = Promise.resolve(emptyMetadata);

  end(): void {}

  cancel(reason: string): void {
    this.close({ code: GrpcCode.CANCELLED, message: reason });
  }
}

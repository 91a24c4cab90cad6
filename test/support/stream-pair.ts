import { GrpcCode, type GrpcStatus } from "../../shared/grpc/status.ts";
import type { GrpcReceiver, GrpcStream } from "../../shared/grpc/stream.ts";

/** One end of a gRPC call within this process: what one end sends waits until the test lets it through. */
export class PairedStream implements GrpcStream {
  readonly closed: Promise<GrpcStatus>;
  paused = false;
  /** `send` says so when this many messages wait. */
  fullAt = 4;
  other: PairedStream | undefined;
  readonly #incoming: Buffer[] = [];
  #receiver: GrpcReceiver | undefined;
  #settle: (status: GrpcStatus) => void = () => {};
  #status: GrpcStatus | undefined;
  #wantsDrain = false;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get bufferedBytes(): number {
    return this.other?.waitingBytes ?? 0;
  }

  get heldBytes(): number {
    return this.waitingBytes + this.bufferedBytes;
  }

  get writable(): boolean {
    return this.#status === undefined;
  }

  /** Messages on their way to this end. */
  get waiting(): number {
    return this.#incoming.length;
  }

  get waitingBytes(): number {
    return this.#incoming.reduce((bytes, message) => bytes + message.length, 0);
  }

  flushed(): Promise<void> {
    return Promise.resolve();
  }

  send(...pieces: readonly Uint8Array[]): boolean {
    if (this.#status !== undefined || this.other === undefined) return false;
    this.other.#incoming.push(Buffer.concat(pieces));
    this.#wantsDrain = this.other.#incoming.length >= this.fullAt;
    return !this.#wantsDrain;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  start(receiver: GrpcReceiver): void {
    this.#receiver = receiver;
  }

  /** Lets the next message through to this end. False if there is none, or this end is paused. */
  deliverOne(): boolean {
    if (this.paused || this.#receiver === undefined || this.#status !== undefined) return false;
    const message = this.#incoming.shift();
    if (message === undefined) return false;
    this.#receiver.onMessage(message);
    this.other?.offerDrain();
    return true;
  }

  /** The call ends at this end. */
  close(status: GrpcStatus = { code: GrpcCode.UNAVAILABLE, message: "lost" }): void {
    if (this.#status !== undefined) return;
    this.#status = status;
    this.#settle(status);
    this.#receiver?.onClose(status);
  }

  /** What was sent has been taken. */
  offerDrain(): void {
    if (!this.#wantsDrain || (this.other?.waiting ?? 0) >= this.fullAt) return;
    this.#wantsDrain = false;
    this.#receiver?.onDrain?.();
  }
}

export function streamPair(): readonly [PairedStream, PairedStream] {
  const [one, two] = [new PairedStream(), new PairedStream()];
  one.other = two;
  two.other = one;
  return [one, two];
}

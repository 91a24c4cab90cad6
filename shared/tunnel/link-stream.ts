import type { GrpcStatus } from "../grpc/status.ts";
import type { GrpcStream } from "../grpc/stream.ts";
import { WireError } from "../protobuf/wire.ts";
import { decodeLinkMessage, encodeLinkMessage, type LinkMessage, linkMessageMaxBytes } from "./messages.ts";

/** Waits at most for a peer that reads nothing of its link. */
export const queueMaxBytes = 64 * 1024;

export interface LinkReceiver {
  onMessage(message: LinkMessage): void;
  /** The peer half-closed. */
  onEnd(): void;
  /** A message came that cannot be read, or the peer reads none; no more follows. The owner ends the call. */
  onBroken(error: WireError): void;
  /** The last callback. */
  onClose(status: GrpcStatus): void;
}

/** The messages of a link over its gRPC call, the same at both ends. They are few and small, so nothing waits for room for long. */
export class LinkStream {
  readonly #stream: GrpcStream;
  #receiver: LinkReceiver | undefined;
  #broken = false;

  constructor(stream: GrpcStream) {
    this.#stream = stream;
  }

  /** Starts delivery. Call it once. */
  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#stream.start({
      messageMaxBytes: () => linkMessageMaxBytes,
      onMessage: (message) => this.#receive(message, receiver),
      onEnd: () => receiver.onEnd(),
      onClose: (status) => receiver.onClose(status),
    });
  }

  /** Dropped after the close. */
  send(message: LinkMessage): void {
    if (this.#broken) return;
    this.#stream.send(...encodeLinkMessage(message));
    if (this.#stream.bufferedBytes <= queueMaxBytes) return;
    this.#broken = true;
    this.#receiver?.onBroken(new WireError("the peer reads nothing of its link"));
  }

  #receive(bytes: Buffer, receiver: LinkReceiver): void {
    if (this.#broken) return;
    try {
      const message = decodeLinkMessage(bytes);
      // What a later version may send means nothing here.
      if (message.type !== "unknown") receiver.onMessage(message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#broken = true;
      receiver.onBroken(error);
    }
  }
}

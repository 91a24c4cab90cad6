import type { GrpcStatus } from "../grpc/status.ts";
import type { GrpcStream } from "../grpc/stream.ts";
import { WireError } from "../protobuf/wire.ts";
import { decodeLinkMessage, encodeLinkMessage, type LinkMessage, linkMessageMaxBytes } from "./messages.ts";

export interface LinkReceiver {
  onMessage(message: LinkMessage): void;
  /** The peer half-closed. */
  onEnd(): void;
  /** A message that cannot be read came; none follows. The owner ends the call. */
  onBroken(error: WireError): void;
  /** The last callback. */
  onClose(status: GrpcStatus): void;
}

/** The messages of a link over its gRPC call, the same at both ends. They are few and small, so nothing waits for room. */
export class LinkStream {
  readonly #stream: GrpcStream;
  #broken = false;

  constructor(stream: GrpcStream) {
    this.#stream = stream;
  }

  /** Starts delivery. Call it once. */
  start(receiver: LinkReceiver): void {
    this.#stream.start({
      onMessage: (message) => this.#receive(message, receiver),
      onEnd: () => receiver.onEnd(),
      onClose: (status) => receiver.onClose(status),
    });
  }

  /** Dropped after the close. */
  send(message: LinkMessage): void {
    this.#stream.send(...encodeLinkMessage(message));
  }

  #receive(bytes: Buffer, receiver: LinkReceiver): void {
    if (this.#broken) return;
    try {
      if (bytes.length > linkMessageMaxBytes) throw new WireError(`message of ${bytes.length} bytes on a link`);
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

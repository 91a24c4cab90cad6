import type { Metadata } from "../../shared/grpc/metadata.ts";
import { emptyMetadata } from "../../shared/grpc/metadata.ts";
import { GrpcCode, type GrpcStatus } from "../../shared/grpc/status.ts";
import type { GrpcClientCall, GrpcServerCall } from "../../shared/grpc/stream.ts";
import { FakeClientCall, FakeServerCall } from "./fake-grpc-stream.ts";

interface Codec<Message> {
  readonly decode: (bytes: Buffer) => unknown;
  readonly encode: (message: Message) => readonly Uint8Array[];
}

/** What both fakes below do with messages of the tunnel protocol. */
class Messages<Message> {
  readonly sent: unknown[] = [];
  readonly #codec: Codec<Message>;

  constructor(codec: Codec<Message>) {
    this.#codec = codec;
  }

  keep(pieces: readonly Uint8Array[]): void {
    this.sent.push(this.#codec.decode(Buffer.concat(pieces)));
  }

  bytesOf(message: Message): Buffer {
    return Buffer.concat(this.#codec.encode(message));
  }
}

/** The server's end of a Link or a Carry whose agent is the test. */
export class FakeTunnelServerCall<Message> extends FakeServerCall implements GrpcServerCall {
  /** With it, `finish` and `fail` wait for `close`, as trailers take a while. */
  slowToClose = false;
  headersSent = false;
  readonly #messages: Messages<Message>;

  constructor(codec: Codec<Message>) {
    super();
    this.#messages = new Messages(codec);
  }

  override send(...pieces: readonly Uint8Array[]): boolean {
    if (this.writable) this.#messages.keep(pieces);
    return this.writable && !this.full;
  }

  override sendHeaders(): void {
    this.headersSent = true;
  }

  override finish(status: GrpcStatus): void {
    if (!this.slowToClose) this.close(status);
  }

  override fail(status: GrpcStatus): void {
    if (!this.slowToClose) this.close(status);
  }

  /** What was sent since this was last called. */
  messages(): readonly unknown[] {
    return this.#messages.sent.splice(0);
  }

  /** From the agent. */
  put(...messages: readonly Message[]): void {
    for (const message of messages) this.receiveMessage(this.#messages.bytesOf(message));
  }
}

/** The agent's end of a Link or a Carry whose server is the test. */
export class FakeTunnelClientCall<Message> extends FakeClientCall implements GrpcClientCall {
  override readonly headers: Promise<Metadata>;
  /** The server answers. */
  answer: () => void = () => {};
  refuse: (error: Error) => void = () => {};
  halfClosed = false;
  readonly #messages: Messages<Message>;

  constructor(codec: Codec<Message>) {
    super();
    this.#messages = new Messages(codec);
    this.headers = new Promise((resolve, reject) => {
      this.answer = () => resolve(emptyMetadata);
      this.refuse = reject;
    });
    this.headers.catch(() => {});
  }

  override send(...pieces: readonly Uint8Array[]): boolean {
    if (this.writable) this.#messages.keep(pieces);
    return this.writable && !this.full;
  }

  override end(): void {
    this.halfClosed = true;
  }

  override cancel(reason: string): void {
    this.refuse(new Error(reason));
    this.close({ code: GrpcCode.CANCELLED, message: reason });
  }

  messages(): readonly unknown[] {
    return this.#messages.sent.splice(0);
  }

  /** From the server. */
  put(...messages: readonly Message[]): void {
    for (const message of messages) this.receiveMessage(this.#messages.bytesOf(message));
  }
}

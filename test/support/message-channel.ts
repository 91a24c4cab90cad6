import type { Http2Stream } from "node:http2";
import { MessageParser } from "../../shared/grpc/framing.ts";
import { framed } from "./raw-grpc.ts";
import { within } from "./within.ts";

const patienceMs = 15_000;

/** Messages as they come from somewhere, taken one by one. */
export class Inbox<Message> {
  readonly #messages: Message[] = [];
  readonly #takers: ((message: Message | undefined) => void)[] = [];
  #ended = false;

  put(message: Message): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#messages.push(message);
    else taker(message);
  }

  end(): void {
    this.#ended = true;
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  /** The oldest that has not been taken; undefined when no more come. */
  take(what = "a message"): Promise<Message | undefined> {
    const message = this.#messages.shift();
    if (message !== undefined || this.#ended) return Promise.resolve(message);
    return within(patienceMs, what, new Promise((resolve) => this.#takers.push(resolve)));
  }

  /** All that has come and has not been taken. */
  takeAll(): Message[] {
    return this.#messages.splice(0);
  }
}

/** Either end of one gRPC call over bare HTTP/2, which sends whatever a test tells it. */
export class MessageChannel<Message> {
  readonly stream: Http2Stream;
  readonly inbox = new Inbox<Message>();
  /** HTTP/2's code of the reset, 0 if there was none. */
  readonly closed: Promise<number>;
  readonly #encode: (message: never) => readonly Uint8Array[];

  constructor(
    stream: Http2Stream,
    codec: { readonly decode: (bytes: Buffer) => Message; readonly encode: (message: never) => readonly Uint8Array[] },
  ) {
    this.stream = stream;
    this.#encode = codec.encode;
    const parser = new MessageParser();
    stream.on("data", (chunk: Buffer) => {
      parser.push(chunk);
      for (let bytes = parser.next(); bytes !== undefined; bytes = parser.next()) this.inbox.put(codec.decode(bytes));
    });
    stream.on("end", () => this.inbox.end());
    stream.on("error", () => {});
    const closed = new Promise<number>((resolve) => {
      stream.once("close", () => {
        this.inbox.end();
        resolve(stream.rstCode ?? 0);
      });
    });
    this.closed = closed;
  }

  get ended(): Promise<number> {
    return within(patienceMs, "the end of the call", this.closed);
  }

  /** Takes the next message, which has to be of this type. */
  async next<Type extends string>(type: Type): Promise<Extract<Message, { type: Type }>> {
    const message = await this.inbox.take(type);
    if ((message as { type?: string } | undefined)?.type === type) return message as Extract<Message, { type: Type }>;
    const text = JSON.stringify(message, (_key, value) => (typeof value === "bigint" ? `${value}` : value));
    throw new Error(`expected ${type}, got ${text ?? "the end of the call"}`);
  }

  send(...messages: readonly Message[]): void {
    for (const message of messages) this.sendMessage(...this.#encode(message as never));
  }

  /** Frames the pieces as one message, whatever is in them. */
  sendMessage(...pieces: readonly Uint8Array[]): boolean {
    return this.sendBytes(framed(...pieces));
  }

  /** Writes bytes without framing them. Returns whether there is room for more; `drained` waits for it. */
  sendBytes(bytes: Uint8Array): boolean {
    return !this.stream.destroyed && this.stream.writable && this.stream.write(bytes);
  }

  /** Resolves when what was sent has gone out, or the stream has closed. */
  async drained(): Promise<void> {
    if (this.stream.destroyed || !this.stream.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.stream.off("drain", done).off("close", done);
        resolve();
      };
      this.stream.on("drain", done).on("close", done);
    });
  }

  /** RST_STREAM. */
  reset(code = 8): void {
    this.stream.close(code);
  }
}

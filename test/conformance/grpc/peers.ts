/** What a suite knows of a gRPC implementation: calls as promises, messages as plain bytes. */

export interface Status {
  readonly code: number;
  readonly message: string;
}

/** Values by key, in order; bytes where the key ends in `-bin`. */
export type Fields = Readonly<Record<string, readonly (string | Buffer)[]>>;

interface TestCall {
  send(message: Buffer): void;
  /** The next message; undefined once the other side has half-closed, or the call has ended. */
  next(): Promise<Buffer | undefined>;
}

export interface TestServerCall extends TestCall {
  readonly fields: Fields;
  /** Resolves when the call has ended, however it did; true if by its handler's own `finish`. */
  readonly finished: Promise<boolean>;
  sendHeaders(fields: Fields): void;
  finish(status: Status): void;
}

export interface TestClientCall extends TestCall {
  /** Undefined if the call ended without them. */
  readonly headers: Promise<Fields | undefined>;
  readonly status: Promise<Status>;
  end(): void;
  cancel(): void;
}

export interface TestServer {
  readonly port: number;
  /** Takes no more calls; resolves when those that run have ended. */
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export interface TestClient {
  open(path: string, options?: { readonly fields?: Fields; readonly deadlineMs?: number }): TestClientCall;
  close(): Promise<void>;
}

/** Handlers by method name; a call comes to `/test.Test/<name>`. */
export type Handlers = Readonly<Record<string, (call: TestServerCall) => void | Promise<void>>>;

export interface Implementation {
  readonly name: string;
  serve(handlers: Handlers): Promise<TestServer>;
  connect(port: number): Promise<TestClient>;
}

export const pathOf = (name: string): string => `/test.Test/${name}`;

/** Hands messages that come by callback to a reader that asks for them. */
export class Inbox {
  readonly #messages: Buffer[] = [];
  readonly #readers: ((message: Buffer | undefined) => void)[] = [];
  #ended = false;

  put(message: Buffer): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) reader(message);
    else this.#messages.push(message);
  }

  end(): void {
    this.#ended = true;
    for (const reader of this.#readers.splice(0)) reader(undefined);
  }

  next(): Promise<Buffer | undefined> {
    const message = this.#messages.shift();
    if (message !== undefined || this.#ended) return Promise.resolve(message);
    return new Promise((resolve) => this.#readers.push(resolve));
  }
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
}

/** A promise and its resolve; Node 20 has no `Promise.withResolvers`. */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

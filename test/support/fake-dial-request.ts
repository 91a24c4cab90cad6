import type { Duplex } from "node:stream";
import { asDialId, type DialRequest } from "../../shared/dial.ts";
import type { ProxyError } from "../../shared/errors.ts";
import { type MemoryDuplex, memoryPair } from "./memory-duplex.ts";

/** A dial whose asking side is the test: `client` is its end of the connection once the dial was accepted. */
export class FakeDialRequest implements DialRequest {
  readonly id = asDialId(7n);
  readonly target = { protocol: "tcp", address: "node-1:10250" };
  readonly client: MemoryDuplex;
  /** What was answered, in order. */
  readonly answers: ("accepted" | ProxyError)[] = [];
  /** What `accept` waits for, and rejects with if that does. */
  whenAccepted: Promise<void> = Promise.resolve();
  readonly #cancel = new AbortController();
  readonly #duplex: Duplex;

  constructor() {
    const [client, duplex] = memoryPair();
    this.client = client;
    this.#duplex = duplex;
  }

  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  cancel(reason: ProxyError): void {
    this.#cancel.abort(reason);
  }

  async accept(): Promise<{ readonly duplex: Duplex; readonly halfClose: boolean }> {
    await this.whenAccepted;
    this.answers.push("accepted");
    return { duplex: this.#duplex, halfClose: true };
  }

  refuse(error: ProxyError): void {
    if (!this.signal.aborted) this.answers.push(error);
  }
}

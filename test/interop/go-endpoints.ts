import { TunnelClient } from "./tunnel-client.ts";

interface Addresses {
  readonly echo: string;
  readonly transfer: string;
  readonly banner: string;
  /** Sends the bytes that it is asked for, then closes. */
  readonly closing: string;
  /** As transfer, with little buffered by the kernel. */
  readonly narrow: string;
  /** Reads all, sends nothing. */
  readonly discard: string;
  /** Sends without end, with little buffered by the kernel. */
  readonly source: string;
  /** Sends without end once it has read a byte. */
  readonly flood: string;
  /** Reads nothing until `wake()`. */
  readonly deaf: string;
  /** Answers the first byte with RST. */
  readonly reset: string;
  /** Never answers a connect, as behind a firewall that drops. */
  readonly unanswering: string;
}

interface Counts {
  readonly accepted: number;
  readonly open: number;
}

/** Endpoints in a Go process of their own, so that a transfer does not measure the test runner. */
export class GoEndpoints {
  readonly addresses: Addresses;
  readonly #client: TunnelClient;
  #countsAsked = 0;

  private constructor(client: TunnelClient, addresses: Addresses) {
    this.#client = client;
    this.addresses = addresses;
  }

  static async start(): Promise<GoEndpoints> {
    // It lives as long as a whole test file.
    const client = await TunnelClient.start("endpoint", ["--timeout=4h"]);
    return new GoEndpoints(client, await client.waitFor<Addresses>("echo", 0));
  }

  /** Connections open at this moment, over all endpoints. */
  async openCount(): Promise<number> {
    this.#client.send("count");
    const { open } = await this.#client.waitFor<Counts>("open", this.#countsAsked++);
    return open;
  }

  /** Lets the deaf endpoint read what its present connections have sent, so that it sees their end. */
  wake(): void {
    this.#client.send("wake");
  }

  stop(): Promise<void> {
    return this.#client.process.stop();
  }
}

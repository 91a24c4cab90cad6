import type { Tunnel } from "../support/tunnel.ts";
import { type ClientProgram, usualClient } from "./client-programs.ts";
import { frontendArgs, TunnelClient } from "./tunnel-client.ts";

interface Ended {
  readonly event: "ended";
  readonly index: number;
}

interface Echoed {
  readonly event: "echoed";
  readonly answered: number;
  readonly failed: number;
  readonly ended: number;
}

/** Many connections that are open at once, held by a client process. */
export class HeldConnections {
  readonly #client: TunnelClient;
  #echoesAsked = 0;

  private constructor(client: TunnelClient) {
    this.#client = client;
  }

  /** Resolves when all of them are open. */
  static async open(
    tunnel: Tunnel,
    target: string,
    count: number,
    program: ClientProgram = usualClient,
  ): Promise<HeldConnections> {
    const args = [...frontendArgs(tunnel, program), `--target=${target}`, `--connections=${count}`];
    const client = await TunnelClient.start("hold", args, program);
    await client.waitFor<{ readonly connections: number }>("connections", 0);
    return new HeldConnections(client);
  }

  /** Sends 16 bytes on every connection that has not ended, and resolves to how that went. */
  async echo(): Promise<Omit<Echoed, "event">> {
    this.#client.send("echo");
    const { answered, failed, ended } = await this.#client.waitFor<Echoed>("answered", this.#echoesAsked++);
    return { answered, failed, ended };
  }

  /** How many have ended by themselves. */
  get endedCount(): number {
    return this.#client.printed<Ended>("index").length;
  }

  /** Closes what is still open; rejects if a close took longer than the other side may take. */
  async close(): Promise<void> {
    this.#client.send("close");
    const { ok, error } = await this.#client.outcome();
    if (!ok) throw new Error(`closing held connections: ${error}`);
  }

  /** For teardown: ends the client process, if it is still there. */
  stop(): Promise<void> {
    return this.#client.process.stop();
  }
}

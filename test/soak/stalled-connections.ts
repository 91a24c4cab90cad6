import type { GoEndpoints } from "../interop/go-endpoints.ts";
import { type OpenConnection, openConnection } from "../support/transfers.ts";
import type { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";

/** Which end has stopped reading: a client whose endpoint sends without end, or an endpoint whose client does. */
export type StalledEnd = "client" | "endpoint";

/** Halves that use that much of a processor and no more, between looks so far apart, carry nothing. */
const restCpuMs = 20;
const lookEveryMs = 500;
const stillLooks = 2;
const dialsAtOnce = 10;
const piece = Buffer.alloc(64 * 1024);

/**
 * Connections whose reader never reads, held by this process, which has nothing to do once they are full. Go's client library
 * would not do: it gives up after 10 s.
 */
export class StalledConnections {
  readonly #tunnel: Tunnel;
  readonly #endpoints: GoEndpoints;
  readonly #end: StalledEnd;
  readonly #open: OpenConnection[] = [];

  private constructor(tunnel: Tunnel, endpoints: GoEndpoints, end: StalledEnd) {
    this.#tunnel = tunnel;
    this.#endpoints = endpoints;
    this.#end = end;
  }

  /** Resolves when all of them are open and, unless `full` is false, everything between their ends is full. */
  static async open(
    tunnel: Tunnel,
    endpoints: GoEndpoints,
    { end, count, full = true }: { readonly end: StalledEnd; readonly count: number; readonly full?: boolean },
  ): Promise<StalledConnections> {
    const stalled = new StalledConnections(tunnel, endpoints, end);
    try {
      for (let opened = 0; opened < count; opened += dialsAtOnce) {
        await Promise.all(Array.from({ length: Math.min(dialsAtOnce, count - opened) }, () => stalled.#openOne()));
      }
      if (full) await stalled.#untilFull();
      return stalled;
    } catch (error) {
      await stalled.close();
      throw error;
    }
  }

  /** How many have been ended by the tunnel. */
  get endedCount(): number {
    return this.#open.filter(({ duplex }) => duplex.destroyed || duplex.readableEnded).length;
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((connection) => connection.close()));
    this.#endpoints.wake();
  }

  async #openOne(): Promise<void> {
    const { source, deaf } = this.#endpoints.addresses;
    const connection = await openConnection(this.#tunnel, this.#end === "client" ? source : deaf);
    this.#open.push(connection);
    const { duplex } = connection;
    if (this.#end === "client") {
      duplex.pause();
      return;
    }
    // Read, so that an early end is seen.
    duplex.resume();
    const fill = () => {
      while (duplex.writable && duplex.write(piece));
    };
    duplex.on("drain", fill);
    fill();
  }

  /** Both halves are at rest then: what waits for its reader costs nothing. Nobody else may use the tunnel meanwhile. */
  async #untilFull(): Promise<void> {
    const { server, agents } = this.#tunnel;
    const usedMs = () => [server, ...agents].reduce((sum, half) => sum + half.cpuMs(), 0);
    let last = { cpuMs: usedMs(), at: performance.now() };
    let still = 0;
    const atRest = () => {
      const now = { cpuMs: usedMs(), at: performance.now() };
      if (now.at - last.at < lookEveryMs) return false;
      still = now.cpuMs - last.cpuMs <= restCpuMs ? still + 1 : 0;
      last = now;
      return still >= stillLooks;
    };
    const describe = () => this.#tunnel.describe();
    await until("stalled connections to be full", atRest, { withinMs: 60_000, describe });
  }
}

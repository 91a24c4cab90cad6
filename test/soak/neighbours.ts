import { frontendArgs, TunnelClient } from "../interop/tunnel-client.ts";
import type { Tunnel } from "../support/tunnel.ts";

/** What the neighbours did in one stretch of time, as test/interop/client/neighbours.go has measured it. */
export interface Window {
  readonly seconds: number;
  readonly megabytesPerSecond: number;
  readonly dialMillis: readonly number[];
  readonly pendingMillis: number;
  readonly longestEchoMillis: number;
  readonly failures: readonly string[];
}

export interface NeighboursOptions {
  readonly connections: number;
  /** Between two echoes of one connection, as Go writes a duration; "0" for no pause. */
  readonly every?: string;
  /** They dial, echo once and close, each for itself. */
  readonly dialers?: number;
  readonly dialPause?: string;
}

/** Connections that echo over and over, and dials beside them, in a process of their own. They rest between windows. */
export class Neighbours {
  readonly #client: TunnelClient;
  #windowsAsked = 0;

  private constructor(client: TunnelClient) {
    this.#client = client;
  }

  /** Resolves when all connections are open. `echoTarget` answers each byte. */
  static async start(tunnel: Tunnel, echoTarget: string, options: NeighboursOptions): Promise<Neighbours> {
    const { connections, every, dialers, dialPause } = options;
    const client = await TunnelClient.start("neighbours", [
      ...frontendArgs(tunnel),
      `--target=${echoTarget}`,
      `--connections=${connections}`,
      ...(every === undefined ? [] : [`--every=${every}`]),
      ...(dialers === undefined ? [] : [`--dialers=${dialers}`]),
      ...(dialPause === undefined ? [] : [`--dial-pause=${dialPause}`]),
      "--timeout=3h",
    ]);
    await client.waitFor<{ readonly connections: number }>("connections", 0);
    return new Neighbours(client);
  }

  /** What happens from now on for so long. */
  window(lengthMs: number): Promise<Window> {
    this.#client.send(`${lengthMs}ms`);
    return this.#client.waitFor<Window>("dialMillis", this.#windowsAsked++, lengthMs + 60_000);
  }

  stop(): Promise<void> {
    return this.#client.process.stop();
  }
}

/** The value that a share of the others does not exceed; 0 where there is none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

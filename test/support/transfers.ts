import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "./endpoints.ts";
import { dialConnect, dialGrpc, frontendSession } from "./frontend-client.ts";
import { seededBytes } from "./seeded-bytes.ts";
import type { Tunnel, TunnelFront } from "./tunnel.ts";
import { until } from "./until.ts";
import { within } from "./within.ts";

export type FrontendProtocol = Tunnel["kind"]["protocol"];

/** Twice what a dead reader may keep its neighbours waiting, and time for a busy machine. */
const progressWithinMs = 10_000;
const finishWithinMs = 30_000;

/** A connection of its own through the tunnel, by gRPC on a session of its own or by CONNECT. */
export interface OpenConnection {
  readonly duplex: Duplex;
  close(): Promise<void>;
}

export async function openConnection(
  tunnel: TunnelFront,
  address: string,
  protocol: FrontendProtocol = tunnel.kind.protocol,
): Promise<OpenConnection> {
  if (protocol === "connect") {
    const socket = await dialConnect(tunnel, address);
    socket.on("error", () => {});
    return { duplex: socket, close: async () => void socket.destroy() };
  }
  const session = await frontendSession(tunnel);
  try {
    const duplex = await dialGrpc(session, address);
    duplex.on("error", () => {});
    return { duplex, close: () => session.close() };
  } catch (error) {
    await session.close();
    throw error;
  }
}

export interface TransferPace {
  /** Each of the two carries that much at least. */
  readonly leastBytes: number;
  /** What is waited for after each 64 KiB while they run beside, so that the machine has time for something else. */
  readonly breathMs: number;
}

const usualPace: TransferPace = { leastBytes: 32 * 1024 * 1024, breathMs: 4 };

/**
 * A download and an upload beside what a test does: they run until `finish`, and for 32 MiB each at least unless told
 * otherwise. Every byte must arrive unchanged.
 */
export class RunningTransfers {
  /** Connections that they hold. */
  readonly connectionCount = 2;
  readonly #tunnel: TunnelFront;
  readonly #pace: TransferPace;
  readonly #enough = new AbortController();
  readonly #arrived = { down: 0, up: 0 };
  readonly #done: Promise<unknown>;

  private constructor(tunnel: TunnelFront, pace: TransferPace) {
    this.#tunnel = tunnel;
    this.#pace = pace;
    this.#done = Promise.all([this.#download(), this.#upload()]);
    // One that breaks early is judged in progress() and finish().
    this.#done.catch(() => {});
  }

  /** Resolves when bytes come through both ways. */
  static async start(tunnel: TunnelFront, pace = usualPace): Promise<RunningTransfers> {
    const transfers = new RunningTransfers(tunnel, pace);
    await transfers.progress();
    return transfers;
  }

  /** Resolves when more bytes have arrived both ways than when it was called; rejects if a transfer has broken. */
  async progress(): Promise<void> {
    const before = { ...this.#arrived };
    const moved = until(
      "bytes of the transfers beside to arrive both ways",
      () => this.#arrived.down > before.down && this.#arrived.up > before.up,
      { withinMs: progressWithinMs, signal: this.#tunnel.server.gone, describe: () => this.#tunnel.describe() },
    );
    const ended = this.#done.then(() => {
      throw new Error("the transfers beside have ended already");
    });
    await Promise.race([moved, ended]);
  }

  /** Ends both; rejects if a byte was lost, changed or added, or if a transfer broke at any time. */
  async finish(): Promise<void> {
    this.#enough.abort();
    await within(finishWithinMs, "the end of the transfers", this.#done);
  }

  async #download(): Promise<void> {
    let sent = "";
    const endpoint = await serve(async (socket) => {
      sent = await sendUntilEnough(socket, 1, { ...this.#pace, enough: this.#enough.signal });
      socket.end();
    });
    const connection = await openConnection(this.#tunnel, endpoint.address);
    try {
      requireEqual("download", await this.#digestOf(connection.duplex, "down"), sent);
    } finally {
      await connection.close();
      await endpoint.close();
    }
  }

  async #upload(): Promise<void> {
    let resolveReceived: (digest: Promise<string>) => void = () => {};
    const received = new Promise<string>((resolve) => {
      resolveReceived = resolve;
    });
    const endpoint = await serve((socket) => {
      const digest = this.#digestOf(socket, "up");
      resolveReceived(digest);
      return digest;
    });
    const connection = await openConnection(this.#tunnel, endpoint.address);
    // Read, so that an early end of the connection is seen.
    connection.duplex.resume();
    try {
      const sent = await sendUntilEnough(connection.duplex, 2, { ...this.#pace, enough: this.#enough.signal });
      connection.duplex.end();
      requireEqual("upload", await received, sent);
    } finally {
      await connection.close();
      await endpoint.close();
    }
  }

  async #digestOf(duplex: Duplex, direction: "down" | "up"): Promise<string> {
    const hash = createHash("sha256");
    let byteCount = 0;
    for await (const chunk of duplex.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      byteCount += chunk.length;
      this.#arrived[direction] = byteCount;
    }
    return `${byteCount} bytes of ${hash.digest("hex")}`;
  }
}

/** Sends seeded bytes with a breath after each chunk, so that the machine has time for what runs beside. */
async function sendUntilEnough(
  duplex: Duplex,
  seed: number,
  { enough, leastBytes, breathMs }: TransferPace & { readonly enough: AbortSignal },
): Promise<string> {
  const hash = createHash("sha256");
  let byteCount = 0;
  for (const chunk of seededBytes(seed, Number.POSITIVE_INFINITY)) {
    if (enough.aborted && byteCount >= leastBytes) break;
    if (duplex.destroyed || duplex.readableEnded) throw new Error(`a transfer broke after ${byteCount} bytes`);
    hash.update(chunk);
    byteCount += chunk.length;
    if (!duplex.write(chunk)) await drainedOrGone(duplex);
    if (!enough.aborted) await sleep(breathMs);
  }
  return `${byteCount} bytes of ${hash.digest("hex")}`;
}

function drainedOrGone(duplex: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const events = ["drain", "end", "close"];
    const done = () => {
      for (const event of events) duplex.off(event, done);
      resolve();
    };
    for (const event of events) duplex.on(event, done);
  });
}

function requireEqual(what: string, received: string, sent: string): void {
  if (received !== sent) throw new Error(`${what}: sent ${sent}, but ${received} arrived`);
}

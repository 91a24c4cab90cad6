import { setTimeout as sleep } from "node:timers/promises";
import { readBytes } from "../support/frontend-client.ts";
import type { Scene } from "../support/scene.ts";
import { Standstill } from "../support/standstill.ts";
import { type FrontendProtocol, openConnection } from "../support/transfers.ts";

const connectionCount = 5;
/** Between two messages, so that the machine has time for what goes on beside. */
const breathMs = 5;

export interface Neighbours {
  readonly echoesMs: readonly number[];
  /** From the request for a connection to its first echo. */
  readonly dialsMs: readonly number[];
  /** How long at most this process stood still: what one of these may be too long by. */
  readonly standstillMs: number;
}

/**
 * Does `work` while connections that are not concerned by it echo, and new ones are dialed one after the other, to `address`, an
 * endpoint that echoes. Rejects if one of these breaks; resolves to how long each took.
 */
export async function beside(
  scene: Scene,
  neighbours: { readonly address: string; readonly protocol: FrontendProtocol },
  work: () => Promise<unknown>,
): Promise<Neighbours> {
  const { address, protocol } = neighbours;
  const enough = new AbortController();
  const connections = Array.from({ length: connectionCount }, () => scene.connection(address, protocol));
  const duplexes = (await Promise.all(connections)).map(({ duplex }) => duplex);
  const echoesMs: number[] = [];
  const dialsMs: number[] = [];
  const repeat = async (trip: () => Promise<void>, tripsMs: number[]) => {
    while (!enough.signal.aborted) {
      const startedAt = performance.now();
      await trip();
      tripsMs.push(performance.now() - startedAt);
      await sleep(breathMs);
    }
  };
  const echo = async (duplex: (typeof duplexes)[number]) => {
    duplex.write("ping");
    const answer = (await readBytes(duplex, 4)).toString();
    if (answer !== "ping") throw new Error(`a neighbour got ${JSON.stringify(answer)} for ping`);
  };
  const dial = async () => {
    const { duplex, close } = await openConnection(scene.tunnel, address, protocol);
    try {
      await echo(duplex);
    } finally {
      await close();
    }
  };
  const standstill = new Standstill();
  const going = [...duplexes.map((duplex) => repeat(() => echo(duplex), echoesMs)), repeat(dial, dialsMs)];
  try {
    // A neighbour that breaks ends the test at once.
    await Promise.race([work(), Promise.all(going)]);
  } finally {
    enough.abort();
  }
  await Promise.all(going);
  return { echoesMs, dialsMs, standstillMs: await standstill.end() };
}

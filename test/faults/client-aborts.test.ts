import type { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { bulkEndpoint } from "../support/bulk.ts";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { frontendSession, frontendSocket, newRandom, proxyPath, readBytes } from "../support/frontend-client.ts";
import type { Scene } from "../support/scene.ts";
import { seededNumbers } from "../support/seeded-numbers.ts";
import { inSoak } from "../support/soak.ts";
import { openConnection } from "../support/transfers.ts";
import { turn } from "../support/turn.ts";
import { links, protocols, useFaultScene } from "./fault-scene.ts";
import { repeat } from "./repeat.ts";

/** On either kind of link: so twice as many in all. */
const abortedCount = inSoak(500, 1_000);
const cancelledCount = inSoak(1_000, 50_000);
/** Frontend sessions are asked to go after some hundred resets. */
const dialsPerSession = 200;
const atOnce = 20;
const timeout = inSoak(120_000, 3_600_000);

async function turns(count: number): Promise<void> {
  for (let index = 0; index < count; index++) await turn();
}

describe.each(links)("by $link", ({ agentFlags }) => {
  let scene: Scene;
  useFaultScene({ agentFlags }, (started) => {
    scene = started;
  });

  /** Asks for a connection and hangs up after so many turns of the event loop, mostly before there is an answer. */
  async function hangUpEarly(protocol: (typeof protocols)[number], address: string, turnCount: number): Promise<void> {
    if (protocol === "grpc") {
      const session = await frontendSession(scene.tunnel);
      session.open(proxyPath).send({ type: "DIAL_REQ", protocol: "tcp", address, random: newRandom() });
      await turns(turnCount);
      await session.close();
    } else {
      const socket = await frontendSocket(scene.tunnel);
      socket.on("error", () => {}).write(`CONNECT ${address} HTTP/1.1\r\n\r\n`);
      await turns(turnCount);
      socket.destroy();
    }
  }

  async function hangUpWhileReading(duplex: Duplex, byteCount: number): Promise<void> {
    duplex.write("begin");
    await readBytes(duplex, byteCount);
  }

  test(`R-5.3: ${abortedCount} clients hang up at any moment, and a transfer beside them loses nothing`, {
    timeout,
  }, async () => {
    const log = await scene.endpoint(bulkEndpoint(5));
    await scene.startTransfers();
    const random = seededNumbers(1);
    await repeat(abortedCount, atOnce, async () => {
      const protocol = protocols[random(2)] ?? "grpc";
      if (random(3) === 0) return hangUpEarly(protocol, log.address, random(40));
      const byteCount = random(32 * 1024);
      const { duplex, close } = await openConnection(scene.tunnel, log.address, protocol);
      await hangUpWhileReading(duplex, byteCount);
      await close();
    });
    await scene.finishTransfers();
  });

  /** Cancels dials, some when their answer has come, the others some turns after they were asked for. */
  async function cancelDials(echo: Endpoint, seed: number): Promise<{ before: number; after: number }> {
    const random = seededNumbers(seed);
    const counts = { before: 0, after: 0 };
    await repeat(cancelledCount / dialsPerSession, 2, async () => {
      const session = await scene.session();
      await repeat(dialsPerSession, atOnce, async () => {
        const stream = session.open(proxyPath);
        const dial = newRandom();
        stream.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random: dial });
        const answer = stream.packets.next().then(() => true);
        const waits = random(2) === 0 ? answer : turns(random(40)).then(() => false);
        counts[(await waits) ? "after" : "before"] += 1;
        stream.send({ type: "DIAL_CLS", random: dial });
        await stream.drained();
        stream.cancel();
      });
      await session.close();
    });
    return counts;
  }

  test(`R-3.2: ${cancelledCount} dials are cancelled just before or after their answer, and no endpoint connection stays`, {
    timeout,
  }, async () => {
    const echo = await scene.endpoint(echoEndpoint());
    const { before, after } = await cancelDials(echo, 2);
    expect(Math.min(before, after)).toBeGreaterThan(cancelledCount / 4);
    await scene.idle();
    // What the agent has opened and closed comes to this process later.
    await expect.poll(() => echo.acceptedCount, { timeout: 5_000 }).toBeGreaterThan(after);
    await expect.poll(() => echo.openCount, { timeout: 5_000 }).toBe(0);
  });
});

import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint, neverReadingEndpoint, serve } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";
import { seededBytes } from "../../support/seeded-bytes.ts";
import { Standstill } from "../../support/standstill.ts";
import { until } from "../../support/until.ts";

/** On the reference's link, which all connections of an agent share: what a dead reader may cost its neighbours, and time for a busy machine. */
const pauseMaxMs = 4_000;
/** A wait for a dead reader, which takes two seconds; nothing else takes as long as this. */
const pauseMinMs = 1_000;

let scene: Scene;
let echo: Endpoint;
beforeEach(async () => {
  scene = await Scene.start({ serverFlags: ["--mode=auto"], agentFlags: ["--link-protocol=konnectivity"] });
  echo = await echoEndpoint();
});
afterEach(async () => {
  await scene.stop();
  await echo.close();
});

/** Echoes over and over until `enough` aborts; resolves to every round trip's milliseconds. */
async function measureEchoes(duplex: Duplex, enough: AbortSignal): Promise<number[]> {
  const tripsMs: number[] = [];
  while (!enough.aborted) {
    const startedAt = performance.now();
    duplex.write("ping");
    if ((await readBytes(duplex, 4)).toString() !== "ping") throw new Error("the neighbour broke");
    tripsMs.push(performance.now() - startedAt);
    await sleep(5);
  }
  return tripsMs;
}

/**
 * Does `work`, which leaves a connection without a reader. `counter` of one half then has to say that one connection was reset;
 * dials succeed after that, and a neighbour has waited once.
 */
async function expectOnePause(counter: () => Promise<number>, work: () => Promise<void>): Promise<void> {
  const neighbour = await scene.connection(echo.address);
  const standstill = new Standstill();
  const enough = new AbortController();
  const stall = async () => {
    try {
      await work();
      const describe = () => scene.tunnel.describe();
      await until("one connection to be reset", async () => (await counter()) === 1, { withinMs: 20_000, describe });
      const { duplex } = await scene.connection(echo.address);
      duplex.write("hello");
      expect((await readBytes(duplex, 5)).toString()).toBe("hello");
    } finally {
      enough.abort();
    }
  };
  const [tripsMs] = await Promise.all([measureEchoes(neighbour.duplex, enough.signal), stall()]);
  // Together, so that a machine that is slow for a second is not taken for a second wait, and two waits are too long.
  const waitedMs = tripsMs.filter((ms) => ms > pauseMinMs).reduce((sum, ms) => sum + ms, 0);
  expect(waitedMs).toBeGreaterThan(pauseMinMs);
  expect(waitedMs - (await standstill.end())).toBeLessThan(pauseMaxMs);
  expect(await counter()).toBe(1);
}

const serverCounter = async () =>
  (await scene.tunnel.server.metrics()).sum("hawser_server_stalled_resets_total") ?? Number.NaN;
const agentCounter = async () =>
  (await scene.tunnel.agents[0]?.metrics())?.sum("hawser_agent_stalled_resets_total") ?? Number.NaN;

/** Sends without end. */
const endlessEndpoint = () =>
  serve(async (socket) => {
    for (const chunk of seededBytes(9, Number.POSITIVE_INFINITY)) {
      if (socket.destroyed) return;
      if (!socket.write(chunk)) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
    }
  });

describe("a client that stops reading", () => {
  test("by gRPC: its neighbours wait once, for some two seconds, and it finds CLOSE_RSP when it reads again", async () => {
    const source = await scene.endpoint(endlessEndpoint());
    const session = await scene.session();
    const stream = session.open("/ProxyService/Proxy");
    let connectId = 0n;
    await expectOnePause(serverCounter, async () => {
      stream.send({ type: "DIAL_REQ", protocol: "tcp", address: source.address, random: 1n });
      ({ connectId } = await stream.next("DIAL_RSP"));
    });
    await expect.poll(() => source.openCount, { timeout: 5_000 }).toBe(0);
    let packet = await stream.take();
    while (packet?.type === "DATA") packet = await stream.take();
    expect(packet).toMatchObject({ type: "CLOSE_RSP", connectId });
  });

  test("by CONNECT: its neighbours wait once, for some two seconds", async () => {
    const source = await scene.endpoint(endlessEndpoint());
    await expectOnePause(serverCounter, async () => {
      (await scene.connection(source.address, "connect")).duplex.pause();
    });
    await expect.poll(() => source.openCount, { timeout: 5_000 }).toBe(0);
  });
});

describe("an endpoint that stops reading", () => {
  test.each(["grpc", "connect"] as const)(
    "its client by %s is told, and that client's neighbours wait once, for some two seconds",
    async (protocol) => {
      const deaf = await scene.endpoint(neverReadingEndpoint());
      const connection = await scene.connection(deaf.address, protocol);
      const { duplex } = connection;
      const ended = new Promise((resolve) => duplex.resume().once("end", resolve).once("close", resolve));
      await expectOnePause(agentCounter, async () => {
        const fill = () => {
          while (!duplex.destroyed && !duplex.readableEnded && duplex.write(Buffer.alloc(64 * 1024)));
        };
        duplex.on("drain", fill);
        fill();
      });
      await ended;
    },
  );
});

test("a client that reads slowly is not reset", async () => {
  const source = await scene.endpoint(endlessEndpoint());
  const { duplex } = await scene.connection(source.address);
  let taken = 0;
  while (taken < 5 * 1024 * 1024) {
    taken += (await readBytes(duplex, 64 * 1024)).length;
    await sleep(50);
  }
  expect(await serverCounter()).toBe(0);
});

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint, neverReadingEndpoint, serve, sourceEndpoint } from "../../support/endpoints.ts";
import { proxyPath, readBytes } from "../../support/frontend-client.ts";
import { Scene } from "../../support/scene.ts";
import { digestOfSeeded, seededBytes } from "../../support/seeded-bytes.ts";
import type { FrontendProtocol } from "../../support/transfers.ts";
import { until } from "../../support/until.ts";
import { within } from "../../support/within.ts";

const mebibyte = 1024 * 1024;
const resourceExhausted = 8;
const seed = 3;
/** Of a transfer whose reader does not stop. */
const readBytesCount = 8 * mebibyte;
/** By then the budget of 1 MiB is spent, whatever the kernel takes. */
const largeMax = 12;

type Half = "server" | "agent";

let scene: Scene;
let echo: Endpoint;
beforeAll(async () => {
  echo = await echoEndpoint();
});
afterAll(() => echo.close());

async function sum(half: Half, name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const [agent] = scene.tunnel.agents;
  const page = await (half === "agent" ? agent : scene.tunnel.server)?.metrics();
  return page?.sum(`hawser_${half}_${name}`, labels) ?? 0;
}

const resets = (half: Half) => sum(half, "refused_total", { limit: "held_bytes" });

const untilHeld = (what: string, check: () => Promise<boolean>) =>
  until(what, check, { withinMs: 15_000, describe: () => scene.tunnel.describe() });

/** Adds connections, one at a time and each once the last is stalled, until the half has reset one. Resolves to them. */
async function stallUntilReset(half: Half, open: () => Promise<Duplex>): Promise<Duplex[]> {
  const opened: Duplex[] = [];
  while (opened.length < largeMax) {
    const stalled = (await sum(half, "stalled_connections")) + 1;
    opened.push(await open());
    let isReset = false;
    await untilHeld("one more stalled connection, or a reset", async () => {
      isReset = (await resets(half)) > 0;
      return isReset || (await sum(half, "stalled_connections")) >= stalled;
    });
    if (isReset) return opened;
  }
  throw new Error(`${largeMax} stalled connections stay within 1 MiB`);
}

async function expectEcho(duplex: Duplex): Promise<void> {
  duplex.write("hello");
  expect((await readBytes(duplex, 5)).toString()).toBe("hello");
}

async function digestOf(duplex: Duplex): Promise<string> {
  const hash = createHash("sha256");
  duplex.on("data", (chunk: Buffer) => hash.update(chunk));
  await within(15_000, "the end of the transfer", once(duplex.resume(), "end"));
  return hash.digest("hex");
}

const endlessEndpoint = () =>
  serve(async (socket) => {
    for (const chunk of seededBytes(9, Number.POSITIVE_INFINITY)) {
      if (socket.destroyed) return;
      if (!socket.write(chunk)) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
    }
  });

async function stalledReader(source: Endpoint, protocol: FrontendProtocol): Promise<Duplex> {
  const { duplex } = await scene.connection(source.address, protocol);
  return duplex.pause();
}

const nothingHeld = () =>
  untilHeld("nothing held", async () => {
    const held = await Promise.all([sum("server", "held_bytes"), sum("agent", "held_bytes")]);
    return held.every((bytes) => bytes === 0);
  });

/**
 * Reads what is left. As many must have ended as the half has reset, one at least: how much each holds follows the round trip, and
 * that the load of this machine, so that more than one may have had to go.
 */
async function expectResetsAmong(duplexes: readonly Duplex[], half: Half): Promise<void> {
  for (const duplex of duplexes) duplex.resume();
  await untilHeld("as many ended as were reset", async () => {
    const ended = duplexes.filter(({ readableEnded, destroyed }) => readableEnded || destroyed).length;
    const closed = await sum(half, "connections_closed_total", { by: half, code: "over_limit" });
    return ended > 0 && ended === closed && ended === (await resets(half));
  });
}

describe.each(["connect", "grpc"] as const)("R-1.3: --max-held-mib=1 of the server, clients by %s", (protocol) => {
  beforeAll(async () => {
    scene = await Scene.start({ serverFlags: ["--mode=auto", "--max-held-mib=1"] });
  });
  afterEach(async () => {
    await scene.settle();
    await nothingHeld();
  });
  afterAll(() => scene.stop());

  // Which one is the largest that has stopped follows the load of this machine; that it is the largest, the unit tests hold.
  test("a stalled connection is reset, and neighbours and what is read go on", async () => {
    const neighbour = await scene.connection(echo.address, protocol);
    const source = await scene.endpoint(sourceEndpoint(seed, readBytesCount));
    const { duplex: alive } = await scene.connection(source.address, protocol);
    const digest = digestOf(alive);
    const endless = await scene.endpoint(endlessEndpoint());
    const large = await stallUntilReset("server", () => stalledReader(endless, protocol));
    await expectEcho(neighbour.duplex);
    await untilHeld("less held than the budget", async () => (await sum("server", "held_bytes")) <= mebibyte);
    expect(await digest).toBe(digestOfSeeded(seed, readBytesCount));
    await expectResetsAmong(large, "server");
    await expectEcho(neighbour.duplex);
  });
});

test("R-1.3: --max-held-mib=1 of the agent: of endpoints that never read the largest is reset, and neighbours go on", async () => {
  scene = await Scene.start({ serverFlags: ["--mode=auto"], agentFlags: ["--max-held-mib=1"] });
  try {
    const neighbour = await scene.connection(echo.address, "connect");
    const deaf = await scene.endpoint(neverReadingEndpoint());
    const large = await stallUntilReset("agent", async () => {
      const { duplex } = await scene.connection(deaf.address, "connect");
      const fill = () => {
        while (!duplex.destroyed && duplex.write(Buffer.alloc(64 * 1024)));
      };
      duplex.on("drain", fill);
      fill();
      return duplex;
    });
    await expectEcho(neighbour.duplex);
    await untilHeld("less held than the budget", async () => (await sum("agent", "held_bytes")) <= mebibyte);
    await expectResetsAmong(large, "agent");
    await expectEcho(neighbour.duplex);
    await scene.settle();
    await nothingHeld();
  } finally {
    await scene.stop();
  }
});

test("R-1.3: messages that never come to their end count, and the largest is refused", async () => {
  scene = await Scene.start({ serverFlags: ["--max-held-mib=1"] });
  try {
    const neighbour = await scene.connection(echo.address);
    const session = await scene.session();
    const [larger, smaller] = [1_000_000, 500_000].map((byteCount) => {
      const stream = session.open(proxyPath);
      const message = Buffer.alloc(5 + byteCount);
      message.writeUInt32BE(4_000_000, 1);
      stream.sendBytes(message);
      return stream;
    });
    expect(await larger?.ended).toMatchObject({ status: resourceExhausted });
    expect(await resets("server")).toBe(1);
    expect(smaller?.closed).toBe(false);
    await expectEcho(neighbour.duplex);
    await scene.settle();
    await nothingHeld();
  } finally {
    await scene.stop();
  }
});

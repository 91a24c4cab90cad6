import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import { echoEndpoint, serve, sourceEndpoint } from "../../support/endpoints.ts";
import { readBytes } from "../../support/frontend-client.ts";
import { readSlowlyThenAll } from "../../support/read-slowly.ts";
import { Scene } from "../../support/scene.ts";
import { digestOfSeeded, seededBytes } from "../../support/seeded-bytes.ts";
import { until } from "../../support/until.ts";

/** More than all that lies between two ends, so that there is always more to come. */
const byteCount = 32 * 1024 * 1024;
const seed = 5;
/** Longer than two of the gaps between which a TCP socket takes something for such a reader. */
const slowForMs = 20_000;

/**
 * What a reader gets that was seen to take its bytes in lumps, as one whose kernel fills its buffer on a busy machine may be, and time for
 * that and for what lies between to fill.
 */
const resetWithinMs = 8_000;

/** All here is about the reference's link, which all connections of an agent share. */
let scene: Scene;
beforeEach(async () => {
  scene = await Scene.start({
    frontend: { protocol: "connect", transport: "tcp" },
    agentFlags: ["--link-protocol=konnectivity"],
  });
});
afterEach(() => scene.stop());

const resets = async () => {
  const { server, agents } = scene.tunnel;
  const pages = await Promise.all([server, ...agents].map((half) => half.metrics()));
  return pages.reduce(
    (total, page) =>
      total +
      (page.sum("hawser_server_stalled_resets_total") ?? 0) +
      (page.sum("hawser_agent_stalled_resets_total") ?? 0),
    0,
  );
};

const pace = { bytesPerSecond: 100 * 1024, forMs: slowForMs };

test("a client that reads 100 KiB/s is not reset, and gets every byte", async () => {
  const source = await scene.endpoint(sourceEndpoint(seed, byteCount));
  const { duplex } = await scene.connection(source.address);
  expect(await readSlowlyThenAll(duplex, pace)).toBe(digestOfSeeded(seed, byteCount));
  expect(await resets()).toBe(0);
});

test("an endpoint that reads 100 KiB/s is not reset, and gets every byte", async () => {
  let resolveDigest: (digest: Promise<string>) => void = () => {};
  const digest = new Promise<string>((resolve) => {
    resolveDigest = resolve;
  });
  const sink = await scene.endpoint(
    serve((socket) => {
      const read = readSlowlyThenAll(socket, pace);
      resolveDigest(read);
      return read;
    }),
  );
  const { duplex } = await scene.connection(sink.address);
  duplex.resume();
  for (const chunk of seededBytes(seed, byteCount)) {
    if (!duplex.write(chunk)) await once(duplex, "drain");
  }
  duplex.end();
  expect(await digest).toBe(digestOfSeeded(seed, byteCount));
  expect(await resets()).toBe(0);
});

test("a client that reads nothing is reset after some two seconds, and its neighbour goes on", async () => {
  const echo = await scene.endpoint(echoEndpoint());
  const source = await scene.endpoint(sourceEndpoint(seed, byteCount));
  const { duplex: neighbour } = await scene.connection(echo.address);
  // The endpoint sends at once, and what it sends is unread from then on.
  const startedAt = performance.now();
  const { duplex: dead } = await scene.connection(source.address);
  dead.pause();
  const describe = () => scene.tunnel.describe();
  await until("the reset", async () => (await resets()) === 1, { withinMs: 20_000, describe });
  const elapsedMs = performance.now() - startedAt;
  expect(elapsedMs).toBeGreaterThan(2_000);
  expect(elapsedMs).toBeLessThan(resetWithinMs);
  neighbour.write("ping");
  expect((await readBytes(neighbour, 4)).toString()).toBe("ping");
  expect(await resets()).toBe(1);
});

import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint, serve } from "../support/endpoints.ts";
import type { Scene } from "../support/scene.ts";
import { digestOfSeeded, seededBytes } from "../support/seeded-bytes.ts";
import { inSoak } from "../support/soak.ts";
import { within } from "../support/within.ts";
import { protocols, useFaultScene } from "./fault-scene.ts";
import { beside } from "./neighbours.ts";

const stalledCount = 20;
/** More than all buffers between two ends take, kernel's included. */
const byteCount = 12 * 1024 * 1024;
const stalledForMs = inSoak(5_000, 60_000);
/** What a neighbour may wait on a busy machine: with one stream for all, a stalled one makes it two seconds and more. */
const tripMaxMs = 1_000;
const resumeWithinMs = 60_000;

let scene: Scene;
useFaultScene({}, (started) => {
  scene = started;
});
let echo: Endpoint;
beforeEach(async () => {
  echo = await scene.endpoint(echoEndpoint());
});

async function digestOf(duplex: Duplex): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of duplex.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Sends the bytes of `seed`, then ends; returns when all is handed over. */
async function send(duplex: Duplex, seed: number): Promise<void> {
  for (const chunk of seededBytes(seed, byteCount)) if (!duplex.write(chunk)) await once(duplex, "drain");
  duplex.end();
}

const seeds = Array.from({ length: stalledCount }, (_, index) => index + 1);

describe.each(protocols)("R-1.1, R-1.2, R-1.4: 20 connections by %s stand still", (protocol) => {
  /** Nobody waits while they stand still, nobody is reset, and in the end every reader has every byte. */
  async function standStill(writers: readonly Promise<void>[], readOn: () => Promise<string>[]): Promise<void> {
    let writtenCount = 0;
    for (const writer of writers) void writer.then(() => writtenCount++).catch(() => {});
    const neighbours = await beside(scene, { address: echo.address, protocol }, () => sleep(stalledForMs));
    const { echoesMs, dialsMs, standstillMs } = neighbours;
    expect(writtenCount, "writers that have nothing more to send").toBe(0);
    expect(Math.max(...echoesMs) - standstillMs).toBeLessThan(tripMaxMs);
    expect(Math.max(...dialsMs) - standstillMs).toBeLessThan(tripMaxMs);
    const digests = await within(resumeWithinMs, "the rest of the bytes", Promise.all(readOn()));
    expect(digests).toEqual(seeds.map((seed) => digestOfSeeded(seed, byteCount)));
    await Promise.all(writers);
  }

  test("since their clients do not read: neighbours go on, and when the clients read again nothing is missing", async () => {
    const writers: Promise<void>[] = [];
    const source = await scene.endpoint(
      serve((socket) => {
        const writer = once(socket, "data").then(([seed]) => send(socket.resume(), (seed as Buffer)[0] ?? 0));
        writers.push(writer);
        return writer;
      }),
    );
    const connections = await Promise.all(seeds.map(() => scene.connection(source.address, protocol)));
    const duplexes = connections.map(({ duplex }) => duplex);
    for (const [index, seed] of seeds.entries()) duplexes[index]?.write(Buffer.of(seed));
    await standStill(writers, () => duplexes.map(digestOf));
  });

  test("since their endpoints do not read: neighbours go on, and when the endpoints read again nothing is missing", async () => {
    const events = new EventEmitter().setMaxListeners(stalledCount);
    const mayRead = once(events, "read");
    const digests = new Map<number, Promise<string>>();
    const digested = new EventEmitter();
    const sink = await scene.endpoint(
      serve(async (socket) => {
        await once(socket, "readable");
        const seed = (socket.read(1) as Buffer)[0] ?? 0;
        await mayRead;
        digests.set(seed, digestOf(socket));
        if (digests.size === stalledCount) digested.emit("all");
      }),
    );
    const connections = await Promise.all(seeds.map(() => scene.connection(sink.address, protocol)));
    const writers = connections.map(({ duplex }, index) => {
      const seed = seeds[index] ?? 0;
      duplex.resume().write(Buffer.of(seed));
      return send(duplex, seed);
    });
    const all = once(digested, "all");
    await standStill(writers, () => {
      events.emit("read");
      return seeds.map((seed) => all.then(() => digests.get(seed) ?? ""));
    });
  });
});

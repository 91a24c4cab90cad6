import { EventEmitter, once } from "node:events";
import { describe, expect, test } from "vitest";
import { serve, sourceEndpoint } from "../support/endpoints.ts";
import { readSlowlyThenAll } from "../support/read-slowly.ts";
import type { Scene } from "../support/scene.ts";
import { digestOfSeeded, seededBytes } from "../support/seeded-bytes.ts";
import { inSoak } from "../support/soak.ts";
import { protocols, useFaultScene } from "./fault-scene.ts";

const seed = 11;
/** More than all buffers between two ends take, kernel's included. */
const byteCount = 12 * 1024 * 1024;
/** Far less than what the reference's link takes for a sign of life. */
const pace = { bytesPerSecond: 10_000, forMs: inSoak(5_000, 60_000) };

let scene: Scene;
useFaultScene({}, (started) => {
  scene = started;
});

describe.each(protocols)("R-1.4: by %s", (protocol) => {
  test("a client that reads 10 KB/s stays alive, and gets every byte", async () => {
    const source = await scene.endpoint(sourceEndpoint(seed, byteCount));
    const { duplex } = await scene.connection(source.address, protocol);
    expect(await readSlowlyThenAll(duplex, pace)).toBe(digestOfSeeded(seed, byteCount));
  });

  test("an endpoint that reads 10 KB/s stays alive, and gets every byte", async () => {
    const events = new EventEmitter();
    const digested = once(events, "digest");
    const sink = await scene.endpoint(
      serve(async (socket) => {
        events.emit("digest", await readSlowlyThenAll(socket, pace));
      }),
    );
    const { duplex } = await scene.connection(sink.address, protocol);
    duplex.resume();
    for (const chunk of seededBytes(seed, byteCount)) if (!duplex.write(chunk)) await once(duplex, "drain");
    duplex.end();
    expect(await digested).toEqual([digestOfSeeded(seed, byteCount)]);
  });
});

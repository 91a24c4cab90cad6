import { once } from "node:events";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { Endpoint, serve } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import type { Scene } from "../support/scene.ts";
import { seededBytes } from "../support/seeded-bytes.ts";
import { inSoak } from "../support/soak.ts";
import { openConnection } from "../support/transfers.ts";
import { links, protocols, useFaultScene } from "./fault-scene.ts";
import { repeat } from "./repeat.ts";

/** By either protocol on either link; so four times as often in all. */
const times = inSoak(125, 2_500);
/** How many of them at a time. */
const atOnce = 8;
const file = Buffer.concat([...seededBytes(7, 3_000_000)]);

/** Reads to the end; rejects unless it comes after exactly these bytes. */
async function expectAll(duplex: Duplex, expected: Buffer): Promise<void> {
  let at = 0;
  for await (const chunk of duplex.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (!chunk.equals(expected.subarray(at, at + chunk.length))) throw new Error(`other bytes from ${at} on`);
    at += chunk.length;
  }
  if (at < expected.length) throw new Error(`the end came after ${at} of ${expected.length} bytes`);
}

describe.each(links)("by $link", ({ link, agentFlags }) => {
  let scene: Scene;
  useFaultScene({ agentFlags }, (started) => {
    scene = started;
  });

  test.each(protocols)(
    `R-5.4: ${times} times an endpoint sends 3 MB and closes at once: every client by %s has every byte, then the end`,
    { timeout: inSoak(120_000, 3_600_000) },
    async (protocol) => {
      const source = await scene.endpoint(serve(async (socket) => socket.end(file)));
      await repeat(times, atOnce, async () => {
        const { duplex, close } = await openConnection(scene.tunnel, source.address, protocol);
        await expectAll(duplex, file);
        await close();
      });
    },
  );

  test.each(protocols)(
    "R-5.4: an endpoint says a word and closes at once: it arrives by %s, then the end",
    async (protocol) => {
      const source = await scene.endpoint(serve(async (socket) => socket.end("bye")));
      await repeat(100, atOnce, async () => {
        const { duplex, close } = await openConnection(scene.tunnel, source.address, protocol);
        await expectAll(duplex, Buffer.from("bye"));
        await close();
      });
    },
  );

  // The reference's packets know no half-close.
  if (link !== "lanes") return;

  test("a client ends first, by CONNECT: the endpoint's whole answer comes after that", async () => {
    const answering = await scene.endpoint(
      Endpoint.listen(
        createServer({ allowHalfOpen: true }, (socket) => {
          // What goes wrong here is seen at the client's end.
          socket.on("error", () => {});
          void expectAll(socket, file).then(
            () => socket.end(file),
            () => socket.destroy(),
          );
        }),
      ),
    );
    await repeat(25, atOnce, async () => {
      const { duplex, close } = await openConnection(scene.tunnel, answering.address, "connect");
      duplex.end(file);
      await expectAll(duplex, file);
      await close();
    });
  });

  test("an endpoint ends first, by CONNECT: it gets all that its client sends after that", async () => {
    let receivedCount = 0;
    const listening = await scene.endpoint(
      serve(async (socket) => {
        socket.end("bye");
        await expectAll(socket, file);
        receivedCount += 1;
      }),
    );
    await repeat(25, atOnce, async () => {
      const { duplex, close } = await openConnection(scene.tunnel, listening.address, "connect");
      expect((await readBytes(duplex, 4)).toString()).toBe("bye");
      const closed = once(duplex, "close");
      duplex.end(file);
      await closed;
      await close();
    });
    await expect.poll(() => receivedCount, { timeout: 5_000 }).toBe(25);
  });
});

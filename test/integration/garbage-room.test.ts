import { once } from "node:events";
import { expect, it } from "vitest";
import { bulkEndpoint } from "../support/bulk.ts";
import type { ProxyProcess } from "../support/processes.ts";
import { openConnection } from "../support/transfers.ts";
import { Tunnel } from "../support/tunnel.ts";

const mebibyte = 1024 * 1024;
const transferBytes = 384 * mebibyte;
/** Of either half. By V8's own rule there were 28 to 34 of the server alone, with the room that it is given one at most. */
const collectionsMax = 10;

async function collections(half: ProxyProcess): Promise<number> {
  return (await half.metrics()).sum("nodejs_gc_duration_seconds_count", { kind: "major" }) ?? 0;
}

it("a half in bulk collects all garbage now and then, and not with every few MiB", async () => {
  const tunnel = await Tunnel.start({
    server: "hawser",
    agent: "hawser",
    frontend: { protocol: "connect", transport: "uds" },
  });
  const endpoint = await bulkEndpoint(1);
  try {
    const { duplex, close } = await openConnection(tunnel, endpoint.address);
    const halves = [tunnel.server, ...tunnel.agents];
    const before = await Promise.all(halves.map(collections));
    let received = 0;
    const enough = new Promise<void>((resolve) => {
      duplex.on("data", (chunk: Buffer) => {
        received += chunk.length;
        if (received >= transferBytes) resolve();
      });
    });
    duplex.write("go on");
    await Promise.race([enough, once(duplex, "close")]);
    const after = await Promise.all(halves.map(collections));
    await close();
    expect(received).toBeGreaterThanOrEqual(transferBytes);
    for (const [index, count] of after.entries()) {
      expect(count - (before[index] ?? 0)).toBeLessThanOrEqual(collectionsMax);
    }
  } finally {
    await tunnel.stop();
    await endpoint.close();
  }
});

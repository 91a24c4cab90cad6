import { once } from "node:events";
import type { Duplex } from "node:stream";
import { type Endpoint, serve } from "./endpoints.ts";
import { seededBytes } from "./seeded-bytes.ts";

/** Reads all, and sends without end once its client has sent something: one that does not read would be reset for it. */
export function bulkEndpoint(seed: number): Promise<Endpoint> {
  return serve(async (socket) => {
    await once(socket, "readable");
    socket.resume();
    for (const chunk of seededBytes(seed, Number.POSITIVE_INFINITY)) {
      if (socket.destroyed) return;
      if (!socket.write(chunk)) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
    }
  });
}

/** Reads and writes until the connection ends, however it does; resolves when the first bytes have come. */
export async function carryBulk(duplex: Duplex): Promise<void> {
  // A write may be under way when it ends.
  duplex.on("error", () => {});
  const busy = once(duplex, "data");
  const fill = () => {
    while (!duplex.destroyed && duplex.writable && duplex.write(Buffer.alloc(64 * 1024)));
  };
  duplex.on("drain", fill).resume();
  fill();
  await busy;
}

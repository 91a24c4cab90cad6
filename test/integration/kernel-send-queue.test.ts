import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { kernelSendQueueBytes } from "../../shared/stream/kernel-send-queue.ts";
import { until } from "../support/until.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Two ends of one connection; nobody reads `client` yet. */
async function connected(listen: ListenOptions, connectHost?: string): Promise<{ client: Socket; socket: Socket }> {
  const server: Server = createServer().listen(listen);
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect(listen.path === undefined ? { port, host: connectHost } : { path: listen.path });
  closers.push(() => client.destroy());
  const [socket] = (await once(server, "connection")) as [Socket];
  closers.push(() => socket.destroy());
  return { client, socket };
}

describe.runIf(process.platform === "linux")("what the kernel holds for a reader", () => {
  it.each([
    ["IPv4", "127.0.0.1", "127.0.0.1", "127.0.0.1"],
    ["IPv6", "::1", "::1", "::1"],
    ["IPv4 at an IPv6 socket", "::ffff:127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1"],
  ])(
    "grows as nothing is read, stands, and is gone once all is read: %s",
    async (_, listenHost, connectHost, remote) => {
      const { client, socket } = await connected({ port: 0, host: listenHost }, connectHost);
      // Beside it, so that the right line of the table has to be found.
      await connected({ port: 0, host: listenHost }, connectHost);
      expect(socket.remoteAddress).toBe(remote);
      expect(await kernelSendQueueBytes(socket)).toBe(0);
      const sentBytes = 32 * 1024 * 1024;
      socket.write(Buffer.alloc(sentBytes));
      const held = () => kernelSendQueueBytes(socket);
      const queueBytes = await until("a queue", async () => ((await held()) ?? 0) > 0 && held(), { withinMs: 5_000 });
      expect(queueBytes).toBeLessThan(sentBytes);
      // The other end's queue is its own.
      expect(await kernelSendQueueBytes(client)).toBe(0);
      let readBytes = 0;
      client.on("data", (chunk) => {
        readBytes += chunk.length;
      });
      await until("all to be read", () => readBytes === sentBytes, { withinMs: 20_000 });
      await until("nothing to be held", async () => (await held()) === 0, { withinMs: 5_000 });
    },
  );

  it("is not known for a socket that is closed", async () => {
    const { socket } = await connected({ port: 0, host: "127.0.0.1" }, "127.0.0.1");
    const closed = once(socket, "close");
    socket.destroy();
    await closed;
    expect(await kernelSendQueueBytes(socket)).toBeUndefined();
  });

  it("is not known for a Unix socket", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hawser-"));
    closers.push(() => rmSync(folder, { recursive: true }));
    const { socket } = await connected({ path: join(folder, "socket") });
    socket.write(Buffer.alloc(8 * 1024 * 1024));
    expect(await kernelSendQueueBytes(socket)).toBeUndefined();
  });
});

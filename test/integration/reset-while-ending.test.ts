import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { reset } from "../../shared/stream/reset.ts";
import { within } from "../support/within.ts";

const server = createServer({ allowHalfOpen: true });
let near: Socket;
let far: Socket;
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => far.destroy());
afterAll(async () => {
  const closed = once(server, "close");
  server.close();
  await closed;
});

async function open(): Promise<void> {
  const accepted = once(server, "connection");
  near = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  near.on("error", () => {});
  await once(near, "connect");
  [far] = (await accepted) as [Socket];
}

test("R-3.1: a socket that is reset while its FIN goes out is closed, and its peer is reset", async () => {
  await open();
  const closed = once(near, "close");
  near.end();
  reset(near, new Error("broken"));
  await within(5_000, "the end of the socket", closed);
  // After a FIN a reset shows itself to who writes.
  const failed = once(far, "error", { signal: AbortSignal.timeout(5_000) });
  far.write("is anybody there?");
  far.resume();
  const [error] = await failed;
  expect(["EPIPE", "ECONNRESET"]).toContain(error.code);
});

test("a socket that is reset while bytes wait before its FIN is closed at once", async () => {
  await open();
  const closed = once(near, "close");
  near.write(Buffer.alloc(32 * 1024 * 1024));
  near.end();
  reset(near, new Error("broken"));
  await within(5_000, "the end of the socket", closed);
});

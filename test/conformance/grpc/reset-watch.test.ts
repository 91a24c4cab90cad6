import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { ResetWatch } from "../../../shared/grpc/reset-watch.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** Runs `use` with a socket that Node does not read, and with its peer. */
async function withUnreadSocket(use: (unread: Socket, peer: Socket) => Promise<void>): Promise<void> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const peer = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [[unread]] = (await Promise.all([once(server, "connection"), once(peer, "connect")])) as [[Socket], unknown];
  try {
    await use(unread, peer);
  } finally {
    unread.destroy();
    peer.destroy();
    server.close();
    await once(server, "close");
  }
}

it("tells of a reset that nobody reads, once, and of no living peer", () =>
  withUnreadSocket(async (unread, peer) => {
    const clock = new FakeClock();
    let resets = 0;
    new ResetWatch({ clock }, unread, () => {
      resets += 1;
    });
    clock.advance(10_000);
    expect(resets).toBe(0);
    peer.resetAndDestroy();
    await once(peer, "close");
    clock.advance(400);
    expect(resets).toBe(1);
    expect(clock.pending).toBe(0);
  }));

it("leaves no timer behind when it is stopped", () =>
  withUnreadSocket(async (unread) => {
    const clock = new FakeClock();
    new ResetWatch({ clock }, unread, () => {}).stop();
    expect(clock.pending).toBe(0);
  }));

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { probePeer } from "../../shared/stream/probe-peer.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";
import { Workspace } from "../support/workspace.ts";

const workspace = new Workspace();
afterAll(() => workspace.remove());
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const kinds = ["unix", "tcp", "tls"] as const;
type Kind = (typeof kinds)[number];

/** More than is taken of it by a socket that nobody reads, and by its kernel. */
const uploadBytes = 16 * 1024 * 1024;

interface Connection {
  /** Is not read, and Node has stopped to take in what `peer` writes. */
  readonly socket: Socket;
  readonly peer: Socket;
  /** What `peer` speaks through: itself, or the socket under its TLS. */
  readonly wire: Socket;
}

async function stalled(kind: Kind): Promise<Connection> {
  const { certificates } = workspace;
  const server =
    kind === "tls"
      ? createTlsServer({ key: readFileSync(certificates.server.key), cert: readFileSync(certificates.server.cert) })
      : createServer({ allowHalfOpen: true });
  const path = workspace.path("socket");
  server.listen(kind === "unix" ? { path } : { port: 0, host: "127.0.0.1" });
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  await once(server, "listening");
  const accepted = once(server, kind === "tls" ? "secureConnection" : "connection") as Promise<[Socket]>;
  const wire =
    kind === "unix" ? connect(path) : connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  const peer = kind === "tls" ? connectTls({ socket: wire, ca: readFileSync(certificates.frontendCa) }) : wire;
  closers.push(() => peer.destroy());
  for (const each of [wire, peer]) each.on("error", () => {});
  const [socket] = await accepted;
  closers.push(() => socket.destroy());
  peer.write(Buffer.alloc(uploadBytes));
  const isFull = () => socket.readableLength >= socket.readableHighWaterMark;
  // Reading nothing, it has Node take in what its own buffer holds.
  socket.read(0);
  await until("the socket to be full", isFull, { withinMs: 5_000 });
  return { socket, peer, wire };
}

describe.each(kinds)("a socket that nobody reads, over %s", (kind) => {
  it("is destroyed if its peer has gone", async () => {
    const { socket, peer, wire } = await stalled(kind);
    let closed = false;
    socket.on("error", () => {});
    socket.on("close", () => {
      closed = true;
    });
    const gone = once(peer, "close");
    if (kind === "unix") wire.destroy();
    else wire.resetAndDestroy();
    await gone;
    // That nobody else sees it is why there is a probe.
    expect(closed).toBe(false);
    const seen = () => {
      probePeer(socket);
      return closed;
    };
    await until("a probe to see it", seen, { withinMs: 5_000 });
  });

  it("stays if its peer lives, which gets nothing of that", async () => {
    const { socket, peer } = await stalled(kind);
    for (let count = 0; count < 20; count++) probePeer(socket);
    socket.write("an answer");
    const [answer] = (await within(5_000, "the answer", once(peer, "data"))) as [Buffer];
    expect(answer.toString()).toBe("an answer");
    expect(socket.destroyed).toBe(false);
  });

  it("stays if its peer sends no more, and gives all that was sent", async () => {
    const { socket, peer } = await stalled(kind);
    peer.end();
    for (let count = 0; count < 20; count++) probePeer(socket);
    let byteCount = 0;
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      probePeer(socket);
      byteCount += (chunk as Buffer).length;
    }
    expect(byteCount).toBe(uploadBytes);
  });

  it("stays if it has ended its own side", async () => {
    const { socket } = await stalled(kind);
    socket.end("all");
    await once(socket, "finish");
    probePeer(socket);
    expect(socket.destroyed).toBe(false);
  });
});

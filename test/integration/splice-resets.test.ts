import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../shared/clock.ts";
import { ProxyError } from "../../shared/errors.ts";
import { reset } from "../../shared/stream/reset.ts";
import { splice } from "../../shared/stream/splice.ts";
import { issueCa, issueCertificate } from "../../shared/tls/issue.ts";
import { memoryPair } from "../support/memory-duplex.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Transport = "tcp" | "unix" | "tls";

async function connected(transport: Transport): Promise<{ client: Socket; socket: Socket }> {
  const server = serverFor(transport);
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  const folder = mkdtempSync(join(tmpdir(), "hawser-"));
  closers.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "socket");
  server.listen(transport === "unix" ? { path } : { port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const accepted = once(server, transport === "tls" ? "secureConnection" : "connection") as Promise<[Socket]>;
  const client = clientOf(transport, transport === "unix" ? path : (server.address() as AddressInfo).port);
  closers.push(() => client.destroy());
  const [socket] = await accepted;
  closers.push(() => socket.destroy());
  return { client, socket };
}

function serverFor(transport: Transport): Server {
  if (transport !== "tls") return createServer({ allowHalfOpen: true });
  const ca = issueCa({ commonName: "test CA", validityDays: 1 });
  const pair = issueCertificate(ca, { commonName: "test", validityDays: 1, usages: ["server"], names: ["localhost"] });
  return createTlsServer({ cert: pair.cert, key: pair.key });
}

function clientOf(transport: Transport, at: string | number): Socket {
  if (typeof at === "string") return connect({ path: at, allowHalfOpen: true });
  const address = { port: at, host: "127.0.0.1", allowHalfOpen: true };
  // Who serves is not what is tested here.
  return transport === "tls" ? connectTls({ ...address, rejectUnauthorized: false }) : connect(address);
}

describe("reset", () => {
  it("closes a socket whose FIN is just on its way", async () => {
    const { client, socket } = await connected("tcp");
    const closed = new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
    const gone = Promise.all([once(client.resume(), "end"), closed]);
    socket.end();
    // Node hands the FIN to libuv in the next tick.
    await Promise.resolve();
    reset(socket, new Error("both came in one reading"));
    await within(5_000, "the close", gone);
  });
});

/** A client's connection, spliced to a link's end that the test holds; what the client sees of its end is in `seen`. */
async function splicedTo(transport: Transport) {
  const { client, socket } = await connected(transport);
  const [linkEnd, spliced] = memoryPair();
  const seen: string[] = [];
  let readBytes = 0;
  client
    .on("data", (chunk) => {
      readBytes += chunk.length;
    })
    .on("end", () => seen.push("end"))
    .on("error", (error: NodeJS.ErrnoException) => seen.push(error.code ?? error.message))
    .on("close", () => seen.push("close"));
  const options = { half: "server", halfCloseTimeoutMs: 60_000 } as const;
  const frontend = { duplex: socket, halfClose: true };
  const done = splice(frontend, { duplex: spliced, halfClose: true }, { clock: systemClock }, options);
  linkEnd.write("the first part of a download");
  await until("the first part", () => readBytes > 0, { withinMs: 5_000 });
  return { client, linkEnd, spliced, seen, done };
}

describe("a client whose download was cut off", () => {
  it("sees a reset over TCP, and no end, when the link was lost", async () => {
    const { spliced, seen, done } = await splicedTo("tcp");
    spliced.destroy(new ProxyError("agent_lost", "the agent is gone"));
    expect(await done).toMatchObject({ by: "agent", code: "agent_lost" });
    await until("the close", () => seen.includes("close"), { withinMs: 5_000 });
    expect(seen).toEqual(["ECONNRESET", "close"]);
  });

  it("sees a reset over TCP, and no end, when the endpoint was reset", async () => {
    const { client, socket } = await connected("tcp");
    const endpoint = await connected("tcp");
    const options = { half: "agent", halfCloseTimeoutMs: 60_000 } as const;
    const ends = [socket, endpoint.socket].map((duplex) => ({ duplex, halfClose: true }));
    const [frontend, other] = ends as [(typeof ends)[0], (typeof ends)[0]];
    const done = splice(frontend, other, { clock: systemClock }, options);
    const failed = once(client.resume(), "error");
    endpoint.client.resetAndDestroy();
    expect(await within(5_000, "the reset", failed)).toMatchObject([{ code: "ECONNRESET" }]);
    expect(await done).toMatchObject({ by: "endpoint", code: "cancelled" });
  });

  it.each(["unix", "tls"] as const)("sees its connection closed over %s", async (transport) => {
    const { client, spliced, seen, done } = await splicedTo(transport);
    client.on("end", () => client.end());
    spliced.destroy(new ProxyError("agent_lost", "the agent is gone"));
    expect(await done).toMatchObject({ by: "agent", code: "agent_lost" });
    await until("the close", () => seen.includes("close"), { withinMs: 5_000 });
  });
});

it("a client whose download is complete sees its end over TCP", async () => {
  const { client, linkEnd, seen, done } = await splicedTo("tcp");
  client.on("end", () => client.end());
  linkEnd.resume().end();
  expect(await done).toMatchObject({ by: "endpoint", code: "ok" });
  await until("the close", () => seen.includes("close"), { withinMs: 5_000 });
  expect(seen).toEqual(["end", "close"]);
});

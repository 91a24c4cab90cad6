import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { expect, test } from "vitest";
import { encodePacket } from "../../../shared/konnectivity/packet.ts";
import type { Endpoint } from "../../support/endpoints.ts";
import { newRandom, proxyPath } from "../../support/frontend-client.ts";
import { rawAgentHost } from "../../support/raw-agent.ts";
import { framed, type RawStream, type StreamEnd } from "../../support/raw-grpc.ts";
import { clientPreface } from "../../support/raw-http2.ts";
import type { Scene } from "../../support/scene.ts";
import { useEcho, useScene } from "../../support/use-scene.ts";

const mebibyte = 1024 * 1024;
const resourceExhausted = 8;
/** HTTP/2's code of a reset that is not an error of the protocol. */
const cancel = 8;
/** What a half may grow by under a flood: far less than the flood, more than the collector leaves lying about. */
const growthMaxBytes = 160 * mebibyte;

let scene: Scene;
let echo: Endpoint;
useEcho((started) => {
  echo = started;
});
useScene({}, (started) => {
  scene = started;
});

/** Sends `batch` over and over until `byteCount` have gone or the peer has ended the stream. */
async function flood(stream: RawStream, batch: Buffer, byteCount: number): Promise<void> {
  for (let sent = 0; sent < byteCount && !stream.closed; sent += batch.length) {
    if (!stream.sendBytes(batch)) await stream.drained();
  }
}

/** A peer that reads again soon enough sees the status; another one is reset. */
function expectEndedForNotReading({ status, resetCode }: StreamEnd): void {
  if (status === undefined) expect(resetCode).toBe(cancel);
  else expect(status).toBe(resourceExhausted);
}

const repeated = (message: Buffer, count: number) => Buffer.concat(Array.from({ length: count }, () => message));

test("an agent floods a connection whose client does not read: that one is reset, the server stays small", async () => {
  const agent = await scene.rawAgent();
  const client = (await scene.session()).open(proxyPath);
  const random = newRandom();
  client.send({ type: "DIAL_REQ", protocol: "tcp", address: `${rawAgentHost}:80`, random });
  await agent.stream.next("DIAL_REQ");
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 1n, error: "" });
  await client.next("DIAL_RSP");
  const before = scene.tunnel.server.residentBytes();
  const data = Buffer.alloc(32 * 1024);
  const flooded = flood(agent.stream, framed(...encodePacket({ type: "DATA", connectId: 1n, data })), 256 * mebibyte);
  expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 1n });
  await agent.session.close();
  await flooded;
  expect(scene.tunnel.server.residentBytes() - before).toBeLessThan(growthMaxBytes);
  let last = await client.take();
  while (last?.type === "DATA") last = await client.take();
  expect(last).toMatchObject({ type: "CLOSE_RSP" });
});

test("an agent floods with empty DATA: the server stays small", async () => {
  const agent = await scene.rawAgent();
  const client = (await scene.session()).open(proxyPath);
  const random = newRandom();
  client.send({ type: "DIAL_REQ", protocol: "tcp", address: `${rawAgentHost}:80`, random });
  await agent.stream.next("DIAL_REQ");
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 1n, error: "" });
  const { connectId } = await client.next("DIAL_RSP");
  const before = scene.tunnel.server.residentBytes();
  const empty = framed(...encodePacket({ type: "DATA", connectId: 1n, data: Buffer.alloc(0) }));
  await flood(agent.stream, repeated(empty, 4_000), 16 * mebibyte);
  agent.stream.send({ type: "DATA", connectId: 1n, data: Buffer.from("after it") });
  expect(await client.next("DATA")).toMatchObject({ connectId, data: Buffer.from("after it") });
  expect(scene.tunnel.server.residentBytes() - before).toBeLessThan(growthMaxBytes);
});

test("an agent that asks for answers without end and reads none loses its link", async () => {
  const agent = await scene.rawAgent();
  const before = scene.tunnel.server.residentBytes();
  const forNobody = framed(...encodePacket({ type: "DATA", connectId: 7n, data: Buffer.from("x") }));
  // Its answers stay in the server: nobody takes them here, and HTTP/2's window is soon used up.
  await flood(agent.stream, repeated(forNobody, 4_000), 512 * mebibyte);
  await agent.stream.rest();
  expectEndedForNotReading(await agent.stream.ended);
  expect(scene.tunnel.server.residentBytes() - before).toBeLessThan(growthMaxBytes);
});

test("a client that asks for answers without end and reads none loses its stream", async () => {
  const session = await scene.session();
  const stream = session.open(proxyPath);
  const before = scene.tunnel.server.residentBytes();
  const closeOfNothing = framed(...encodePacket({ type: "CLOSE_REQ", connectId: 7n }));
  await flood(stream, repeated(closeOfNothing, 4_000), 512 * mebibyte);
  await stream.rest();
  expectEndedForNotReading(await stream.ended);
  expect(scene.tunnel.server.residentBytes() - before).toBeLessThan(growthMaxBytes);
});

test("a client that dials a thousand times at once and leaves: nothing is left of it", async () => {
  const session = await scene.session();
  for (let count = 0; count < 1_000; count++) {
    session.open(proxyPath).send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random: newRandom() });
  }
  await expect.poll(() => echo.acceptedCount, { timeout: 10_000 }).toBeGreaterThan(10);
  await session.close();
  await scene.idle();
  await expect.poll(() => echo.openCount, { timeout: 10_000 }).toBe(0);
});

/** A connection of HTTP/2 to the server's port for agents, of which nothing is read. */
async function deafAgent(): Promise<TLSSocket> {
  const { server, workspace } = scene.tunnel;
  const { agent, agentCa } = workspace.certificates;
  const [ca, cert, key] = [agentCa, agent.cert, agent.key].map((file) => readFileSync(file));
  const socket = connectTls({ host: server.agentHost, port: server.agentPort, ca, cert, key, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  socket.on("error", () => {});
  socket.write(clientPreface);
  return socket;
}

test("an agent that sends PINGs without end and reads nothing loses its connection: the server stays small", async () => {
  const before = scene.tunnel.server.residentBytes();
  const socket = await deafAgent();
  const told = (event: "close" | "drain") => new Promise((resolve) => socket.once(event, resolve));
  const closed = told("close");
  // nghttp2 refuses a thousand that it could not answer yet.
  const pings = repeated(Buffer.from("00000806000000000000000000000000aa", "hex"), 500);
  for (let sent = 0; sent < 256 * mebibyte && !socket.destroyed; sent += pings.length) {
    if (!socket.write(pings)) await Promise.race([told("drain"), closed]);
  }
  expect(socket.destroyed).toBe(true);
  expect(scene.tunnel.server.residentBytes() - before).toBeLessThan(growthMaxBytes);
  const other = await scene.rawAgent();
  await other.session.close();
});

import { createServer } from "node:net";
import { expect, test } from "vitest";
import { type Endpoint, Endpoint as TcpEndpoint } from "../../support/endpoints.ts";
import { dialConnect, newRandom, proxyPath } from "../../support/frontend-client.ts";
import { type RawAgent, rawAgentHost } from "../../support/raw-agent.ts";
import type { RawStream } from "../../support/raw-grpc.ts";
import type { Scene } from "../../support/scene.ts";
import { useScene } from "../../support/use-scene.ts";

const invalidArgument = 3;
const resourceExhausted = 8;

let scene: Scene;
let agent: RawAgent;
useScene({ serverFlags: ["--mode=auto"] }, (started) => {
  scene = started;
});

interface Dialed {
  readonly client: RawStream;
  readonly random: bigint;
}

/** A client's dial that has arrived at the raw agent, which has not answered. */
async function dialRawAgent(): Promise<Dialed> {
  const client = (await scene.session()).open(proxyPath);
  const random = newRandom();
  const address = `${rawAgentHost}:80`;
  client.send({ type: "DIAL_REQ", protocol: "tcp", address, random });
  expect(await agent.stream.next("DIAL_REQ")).toMatchObject({ protocol: "tcp", address, random });
  return { client, random };
}

interface Connected extends Dialed {
  readonly clientId: bigint;
  readonly agentId: bigint;
}

async function connectToRawAgent(agentId: bigint): Promise<Connected> {
  const { client, random } = await dialRawAgent();
  agent.stream.send({ type: "DIAL_RSP", random, connectId: agentId, error: "" });
  const answer = await client.next("DIAL_RSP");
  expect(answer).toMatchObject({ random, error: "" });
  return { client, random, clientId: answer.connectId, agentId };
}

/** Bytes go both ways over this connection, and none of another's come with them. */
async function expectOpen({ client, clientId, agentId }: Connected): Promise<void> {
  client.send({ type: "DATA", connectId: clientId, data: Buffer.from("there") });
  expect(await agent.stream.next("DATA")).toMatchObject({ connectId: agentId, data: Buffer.from("there") });
  agent.stream.send({ type: "DATA", connectId: agentId, data: Buffer.from("back") });
  expect(await client.next("DATA")).toMatchObject({ connectId: clientId, data: Buffer.from("back") });
}

/** Ends the connection from the client's end, so that the link holds nothing of it. */
async function closeConnection({ client, clientId, agentId }: Connected): Promise<void> {
  client.send({ type: "CLOSE_REQ", connectId: clientId });
  expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: agentId });
  agent.stream.send({ type: "CLOSE_RSP", connectId: agentId, error: "" });
  expect(await client.next("CLOSE_RSP")).toMatchObject({ connectId: clientId });
}

test("answers that nobody asked for: what they name is closed, and nothing else happens", async () => {
  agent = await scene.rawAgent();
  agent.stream.send({ type: "DIAL_RSP", random: 1n, connectId: 0n, error: "" });
  agent.stream.send({ type: "DIAL_RSP", random: 2n, connectId: 0n, error: "no such dial" });
  agent.stream.send({ type: "DIAL_RSP", random: 3n, connectId: 77n, error: "" });
  expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 77n });
  await closeConnection(await connectToRawAgent(1n));
});

test("an answer with connection id 0 fails its dial", async () => {
  agent = await scene.rawAgent();
  const { client, random } = await dialRawAgent();
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 0n, error: "" });
  const answer = await client.next("DIAL_RSP");
  expect(answer).toMatchObject({ random, connectId: 0n });
  expect(answer.error).toContain("unusable connection id 0");
  await closeConnection(await connectToRawAgent(1n));
});

test("an answer with another connection's id fails its dial, and that connection goes on", async () => {
  agent = await scene.rawAgent();
  const first = await connectToRawAgent(5n);
  const { client, random } = await dialRawAgent();
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 5n, error: "" });
  expect((await client.next("DIAL_RSP")).error).toContain("unusable connection id 5");
  await expectOpen(first);
  await closeConnection(first);
});

test("a second answer to a dial changes nothing, and the connection that it brings is closed", async () => {
  agent = await scene.rawAgent();
  const connection = await connectToRawAgent(5n);
  const { random } = connection;
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 5n, error: "" });
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 6n, error: "" });
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 0n, error: "too late to fail" });
  expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 6n });
  await expectOpen(connection);
  await closeConnection(connection);
});

test("DATA for connections that are not there is answered with CLOSE_REQ, for id 0 with nothing", async () => {
  agent = await scene.rawAgent();
  const connection = await connectToRawAgent(5n);
  const data = Buffer.from("to nobody");
  for (const connectId of [0n, 6n, -1n, (1n << 63n) - 1n]) agent.stream.send({ type: "DATA", connectId, data });
  for (const connectId of [6n, -1n, (1n << 63n) - 1n]) {
    expect(await agent.stream.next("CLOSE_REQ")).toMatchObject({ connectId });
  }
  await expectOpen(connection);
  await closeConnection(connection);
});

test("an agent reaches no other agent's dials and connections, also not under the same agent id", async () => {
  agent = await scene.rawAgent({ agentId: "same-name" });
  const connection = await connectToRawAgent(5n);
  const { client, random } = await dialRawAgent();
  const intruder = await scene.rawAgent({ agentId: "same-name", host: "127.0.0.3" });
  intruder.stream.send({ type: "DATA", connectId: 5n, data: Buffer.from("intruder") });
  expect(await intruder.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 5n });
  intruder.stream.send({ type: "CLOSE_RSP", connectId: 5n, error: "" });
  intruder.stream.send({ type: "DIAL_CLS", random });
  intruder.stream.send({ type: "DIAL_RSP", random, connectId: 9n, error: "" });
  expect(await intruder.stream.next("CLOSE_REQ")).toMatchObject({ connectId: 9n });
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 0n, error: "refused by who was asked" });
  expect((await client.next("DIAL_RSP")).error).toBe("refused by who was asked");
  await expectOpen(connection);
});

test("an error text of 64 KiB with control characters reaches clients short and clean", async () => {
  agent = await scene.rawAgent();
  const { client, random } = await dialRawAgent();
  const error = `boom\r\nX-Header: 1\u0000\u001b[2J${"x".repeat(65_536)}`;
  agent.stream.send({ type: "DIAL_RSP", random, connectId: 0n, error });
  const text = (await client.next("DIAL_RSP")).error;
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1024);
  expect(text).toMatch(/^boom {2}X-Header: 1 {2}\[2Jx+$/);

  const refused = dialConnect(scene.tunnel, `${rawAgentHost}:80`);
  refused.catch(() => {});
  const { random: connectRandom } = await agent.stream.next("DIAL_REQ");
  agent.stream.send({ type: "DIAL_RSP", random: connectRandom, connectId: 0n, error });
  await expect(refused).rejects.toThrow(/^HTTP\/1\.1 502 Bad Gateway\r\n[^\0]*\r\n\r\nboom {2}X-Header: 1 {2}\[2Jx+$/);
});

test.each([
  ["DIAL_REQ without payload", Buffer.alloc(0), invalidArgument],
  ["DIAL_RSP without payload", Buffer.from("0801", "hex"), invalidArgument],
  ["truncated", Buffer.from("08042206080112ff", "hex"), invalidArgument],
  ["of 5 MiB", Buffer.alloc(5 * 1024 * 1024), resourceExhausted],
])("a packet %s ends that agent's link, with its connections and dials", async (_what, message, status) => {
  agent = await scene.rawAgent();
  const { client, clientId } = await connectToRawAgent(5n);
  const pending = await dialRawAgent();
  agent.stream.sendMessage(message);
  await agent.stream.rest();
  expect(await agent.stream.ended).toMatchObject({ status });
  expect(await client.next("CLOSE_RSP")).toMatchObject({ connectId: clientId });
  // It is tried once more, at an agent that finds nothing there.
  expect((await pending.client.next("DIAL_RSP")).error).toContain("connect: connection refused");
});

test("packets that agents do not send, types and fields that nobody knows are passed over", async () => {
  agent = await scene.rawAgent();
  const connection = await connectToRawAgent(5n);
  agent.stream.send({ type: "DIAL_REQ", protocol: "tcp", address: "127.0.0.1:1", random: 9n });
  agent.stream.send({ type: "CLOSE_REQ", connectId: 5n });
  agent.stream.send({ type: "DIAL_CLS", random: connection.random });
  agent.stream.send({ type: "CLOSE_RSP", connectId: 6n, error: "" });
  agent.stream.sendMessage(Buffer.from("0863", "hex"));
  agent.stream.sendMessage(Buffer.from("0804220608051a0268699a0603010203", "hex"));
  expect(await connection.client.next("DATA")).toMatchObject({ data: Buffer.from("hi") });
  await expectOpen(connection);
  await closeConnection(connection);
});

test("nothing that an agent sends opens a connection in the control plane", async () => {
  const controlPlane: Endpoint = await scene.endpoint(TcpEndpoint.listen(createServer()));
  agent = await scene.rawAgent();
  const { address } = controlPlane;
  const connection = await connectToRawAgent(5n);
  for (const random of [connection.random, newRandom()]) {
    agent.stream.send({ type: "DIAL_REQ", protocol: "tcp", address, random });
    agent.stream.send({ type: "DIAL_RSP", random, connectId: 8n, error: "" });
    agent.stream.send({ type: "DATA", connectId: 8n, data: Buffer.from(`CONNECT ${address} HTTP/1.1\r\n\r\n`) });
    agent.stream.send({ type: "CLOSE_REQ", connectId: 8n });
    agent.stream.send({ type: "DIAL_CLS", random });
    agent.stream.send({ type: "DRAIN" });
  }
  // The other service of this wire, on the agents' own port.
  const proxy = agent.session.open(proxyPath);
  proxy.send({ type: "DIAL_REQ", protocol: "tcp", address, random: newRandom() });
  expect(await proxy.rest()).toEqual([]);
  expect(await proxy.ended).toMatchObject({ status: 12 });
  // Whatever the above has led to stands before what follows it on the same stream.
  agent.stream.send({ type: "DATA", connectId: 99n, data: Buffer.from("sync") });
  while ((await agent.stream.next("CLOSE_REQ")).connectId !== 99n);
  await expectOpen(connection);
  expect(controlPlane.acceptedCount).toBe(0);
});

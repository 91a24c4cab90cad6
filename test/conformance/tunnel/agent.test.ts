import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Endpoint, echoEndpoint, refusingAddress, Endpoint as TcpEndpoint } from "../../support/endpoints.ts";
import { JsServer, type JsServerCall } from "../../support/grpc-js-tunnel.ts";
import { type ProxyProcess, startAgent } from "../../support/processes.ts";
import { digestOfSeeded, seededBytes } from "../../support/seeded-bytes.ts";
import { until } from "../../support/until.ts";
import { Workspace } from "../../support/workspace.ts";

/** Our agent against a server that is made of grpc-js and tunnel.proto alone. */

const workspace = new Workspace();
let server: JsServer;
let agent: ProxyProcess;
let echo: Endpoint;
let link: JsServerCall;
const lanes: JsServerCall[] = [];
/** The lane that all tests use, one after the other. */
let lane: JsServerCall;
let turn = 0;

beforeAll(async () => {
  echo = await echoEndpoint();
  server = await JsServer.start(workspace.certificates);
  const welcomed = server.welcome();
  agent = await startAgent({ implementation: "hawser", workspace, agentPort: server.port, agentId: "agent-0" });
  link = await welcomed;
  for (let count = 0; count < 4; count++) lanes.push(await server.nextLane());
  lane = lanes[0] as JsServerCall;
});
afterEach(async () => {
  const open = () => agent.metric("open_endpoint_connections");
  await until("no endpoint connection left", async () => (await open()) === 0, { withinMs: 10_000 });
  agent.gone.throwIfAborted();
});
afterAll(async () => {
  await agent.stop();
  server.stop();
  await echo.close();
  workspace.remove();
});

let dialId = 0;
function dial(address: string): void {
  turn += 1;
  lane.send({ dial: { turn, dial_id: `${++dialId}`, address, remaining_ms: 8_000, protocol: "tcp" } });
}

/** Begins a turn that stands. */
async function connect(address = echo.address): Promise<void> {
  dial(address);
  expect(await lane.next("dialed")).toEqual({ turn, reached: address });
}

/** Ends it from this side, so that the lane is idle. */
async function endTurn(): Promise<void> {
  lane.send({ end: { turn } });
  expect(await lane.next("end")).toEqual({ turn });
}

test("it names itself and what it is linked to, and opens four lanes that bear the token", async () => {
  const headers = link.metadata;
  expect(headers.get("agentid")).toEqual(["agent-0"]);
  expect(headers.get("hawser-version")).toHaveLength(1);
  expect(headers.get("hawser-linked-servers")).toEqual([""]);
  for (const opened of lanes) expect(opened.metadata.get("hawser-link-token-bin")).toEqual([Buffer.alloc(16, 7)]);
  expect(lanes).toHaveLength(4);
});

test("R-1.1: one lane carries a hundred connections one after the other, each with its own bytes", async () => {
  for (let count = 0; count < 100; count++) {
    await connect();
    lane.send({ data: Buffer.from(`bytes of ${turn}`) });
    expect((await lane.bytes(`bytes of ${turn}`.length)).toString()).toBe(`bytes of ${turn}`);
    await endTurn();
  }
});

test("R-5.4: what the endpoint sends after the server's end arrives whole, and the other way round", async () => {
  const byteCount = 3_000_000;
  const received = createHash("sha256");
  const endpoint = await TcpEndpoint.listen(
    createServer({ allowHalfOpen: true }, async (socket: Socket) => {
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) received.update(chunk);
      for (const chunk of seededBytes(2, byteCount)) if (!socket.write(chunk)) await once(socket, "drain");
      socket.end();
    }),
  );
  await connect(endpoint.address);
  for (const data of seededBytes(1, byteCount)) lane.send({ data });
  lane.send({ end: { turn } });
  const hash = createHash("sha256").update(await lane.bytes(byteCount));
  expect(await lane.next("end")).toEqual({ turn });
  expect(hash.digest("hex")).toBe(digestOfSeeded(2, byteCount));
  expect(received.digest("hex")).toBe(digestOfSeeded(1, byteCount));
  await endpoint.close();
});

test("R-5.1: a dial that fails is refused with code and text, and the lane is used again", async () => {
  dial(await refusingAddress());
  const text = expect.stringContaining(`connection refused (dial ${dialId})`);
  expect(await lane.next("refused")).toMatchObject({ turn, code: "refused", text });
  // Not a name at all, so that no resolver is asked for it.
  dial("no..such:1");
  expect(await lane.next("refused")).toMatchObject({ turn, code: "dns" });
  dial("not an address");
  expect(await lane.next("refused")).toMatchObject({ turn });
  await connect();
  await endTurn();
});

test("R-3.1: a reset while it dials, and of an open connection, closes the endpoint and frees the lane", async () => {
  dial(echo.address);
  lane.send({ reset: { turn, code: "cancelled" } });
  const first = await lane.inbox.take();
  // Whether it had answered already is chance.
  if (first?.message === "dialed") expect(await lane.next("reset")).toMatchObject({ turn });
  else expect(first).toMatchObject({ reset: { turn } });
  await connect();
  lane.send({ reset: { turn, code: "cancelled" } });
  expect(await lane.next("reset")).toMatchObject({ turn });
  await connect();
  await endTurn();
  // It crosses the agent's end: dropped.
  lane.send({ reset: { turn } });
  await connect();
  await endTurn();
});

test("R-3.1: an endpoint that resets is told of, and what crosses that is dropped", async () => {
  const dropping = await TcpEndpoint.listen(
    createServer((socket) => void socket.once("data", () => socket.resetAndDestroy())),
  );
  await connect(dropping.address);
  lane.send({ data: Buffer.from("x") });
  expect(await lane.next("reset")).toMatchObject({ turn });
  lane.send({ data: Buffer.from("crosses") });
  lane.send({ reset: { turn } });
  await connect();
  await endTurn();
  await dropping.close();
});

test("it answers Ping with its number, and opens what LanesWanted asks for besides its spare ones", async () => {
  link.send({ ping: { number: 4_000_000_000 } });
  expect(await link.next("pong")).toEqual({ number: 4_000_000_000 });
  link.send({ lanes_wanted: { count: 20 } });
  // One more came when the first of the four was first used.
  while (lanes.length < 4 + 1 + 19) lanes.push(await server.nextLane());
  link.send({ ping: { number: 1 } });
  expect(await link.next("pong")).toEqual({ number: 1 });
  expect(server.lanes.takeAll()).toEqual([]);
});

test("R-6.2: told that the server drains, it links anew; what runs goes on", async () => {
  await connect();
  const again = server.welcome();
  link.send({ draining: {} });
  expect((await again).metadata.get("hawser-linked-servers")).toEqual([""]);
  lane.send({ data: Buffer.from("goes on") });
  expect((await lane.bytes(7)).toString()).toBe("goes on");
  await endTurn();
});

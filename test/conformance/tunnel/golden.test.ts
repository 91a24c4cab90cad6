import type { Http2Stream } from "node:http2";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Endpoint, echoEndpoint, refusingAddress } from "../../support/endpoints.ts";
import { dialConnect, readBytes } from "../../support/frontend-client.ts";
import { MessageChannel } from "../../support/message-channel.ts";
import { type ProxyProcess, startAgent } from "../../support/processes.ts";
import { RawTunnelAgent, RawTunnelServer } from "../../support/raw-tunnel.ts";
import { Tunnel } from "../../support/tunnel.ts";
import { Workspace } from "../../support/workspace.ts";

/**
 * Whole exchanges in the bytes of the first release, played to the present server and the present agent. They are not to be
 * changed: who breaks one breaks every link between that release and the present one. What differs from run to run stands as a
 * pattern where we wrote it, and is put in where the old end did.
 */

type Bytes = MessageChannel<Buffer>;
const bytesOf = (stream: Http2Stream): Bytes =>
  new MessageChannel<Buffer>(stream, { decode: (bytes) => bytes, encode: (bytes: Buffer) => [bytes] });

const send = (channel: Bytes, hex: string): void => channel.send(Buffer.from(hex, "hex"));

async function expectNext(channel: Bytes, pattern: string): Promise<void> {
  const message = await channel.inbox.take(pattern);
  expect(message?.toString("hex")).toMatch(new RegExp(`^${pattern}$`));
}

const varint = "(?:[89a-f].)*[0-7].";
const hex = (text: string): string => Buffer.from(text).toString("hex");
/** A field with its length before it. */
const lengthThen = (inner: string): string => (inner.length / 2).toString(16).padStart(2, "0") + inner;

const hello = `2205${hex("hello")}`;
const world = `2205${hex("world")}`;

const workspace = new Workspace();
let tunnel: Tunnel;
let server: RawTunnelServer;
let agent: ProxyProcess;
let echo: Endpoint;
beforeAll(async () => {
  const frontend = { protocol: "connect", transport: "uds" } as const;
  tunnel = await Tunnel.start({ server: "hawser", agent: "hawser", agentCount: 0, frontend });
  server = await RawTunnelServer.start(workspace.certificates);
  echo = await echoEndpoint();
});
afterAll(async () => {
  await tunnel.stop();
  await agent.stop();
  await server.stop();
  await echo.close();
  workspace.remove();
});

test("the first release's agent with this server", async () => {
  const old = await RawTunnelAgent.connect(tunnel);
  const call = old.callLink({ "hawser-version": "0.1.0", "hawser-linked-servers": "", agentidentifiers: "" });
  const link = bytesOf(call.channel.stream);
  const welcome = await link.inbox.take("Welcome");
  expect(welcome?.toString("hex")).toMatch(/^0a120a10[0-9a-f]{32}$/);
  expect(await call.headers).toMatchObject({ serverid: expect.any(String), servercount: "1" });
  await tunnel.serverCounts(1);

  const address = "golden-node:10250";
  const dialing = dialConnect(tunnel, address);
  await expectNext(link, "12020801");
  const lane = bytesOf(old.callCarry(welcome?.subarray(-16)).channel.stream);
  const dial = (turn: string) =>
    `0a..08${turn}10${varint}1a${lengthThen(hex(address))}20${varint}2a${lengthThen(hex("tcp"))}`;
  await expectNext(lane, dial("01"));
  send(lane, `12${lengthThen(`080112${lengthThen(hex("192.0.2.7:10250"))}`)}`);
  const socket = await dialing;
  socket.write("hello");
  await expectNext(lane, hello);
  send(lane, world);
  expect((await readBytes(socket, 5)).toString()).toBe("world");
  socket.end();
  await expectNext(lane, "2a020801");
  send(lane, "2a020801");

  const refused = dialConnect(tunnel, address).catch((error: Error) => error.message);
  await expectNext(lane, dial("02"));
  send(lane, `1a${lengthThen(`080212${lengthThen(hex("dns"))}1a${lengthThen(hex("no such host"))}`)}`);
  expect(await refused).toContain("no such host");

  const dropped = dialConnect(tunnel, address);
  await expectNext(lane, dial("03"));
  send(lane, "12020803");
  await dropped;
  send(lane, `32${lengthThen(`080312${lengthThen(hex("unreachable"))}`)}`);
  await expectNext(lane, `32${lengthThen(`080312${lengthThen(hex("cancelled"))}`)}`);
  send(link, "22020801");
  send(link, "2a00");
  await old.close();
});

test("this agent with the first release's server", async () => {
  const starting = startAgent({ implementation: "hawser", workspace, agentPort: server.port, agentId: "agent-0" });
  const call = await server.nextLink();
  const link = bytesOf(call.stream);
  call.respond({ serverid: "old", servercount: "1" });
  send(link, "0a120a1007070707070707070707070707070707");
  agent = await starting;
  const carry = await server.nextLane();
  expect(carry.headers["hawser-link-token-bin"]).toMatch(/^BwcHBwcHBwcHBwcHBwcHBw(==)?$/);
  const lane = bytesOf(carry.stream);
  const refusing = await refusingAddress();
  const dial = (turn: string, address: string) =>
    `0a${lengthThen(`08${turn}10ffffffffffffffff7f1a${lengthThen(hex(address))}20c03e2a${lengthThen(hex("tcp"))}`)}`;
  const dialed = (turn: string) => `12${lengthThen(`08${turn}12${lengthThen(hex(echo.address))}`)}`;

  send(lane, dial("01", echo.address));
  await expectNext(lane, dialed("01"));
  send(lane, hello);
  await expectNext(lane, hello);
  send(lane, "2a020801");
  await expectNext(lane, "2a020801");

  send(lane, dial("02", refusing));
  const text = hex(`connection refused (dial ${2n ** 63n - 1n})`);
  await expectNext(lane, `1a..(?:01)?080212${lengthThen(hex("refused"))}1a..(?:01)?(?:..)*${text}`);

  send(lane, dial("03", echo.address));
  await expectNext(lane, dialed("03"));
  send(lane, `32${lengthThen(`080312${lengthThen(hex("stalled"))}`)}`);
  await expectNext(lane, `32${lengthThen(`080312${lengthThen(hex("cancelled"))}`)}`);

  send(link, "1a020805");
  await expectNext(link, "22020805");
  // Asked for nine lanes besides the four that it keeps, of which one is in this test's hands already.
  send(link, "12020809");
  for (let count = 0; count < 3 + 9; count++) await server.nextLane();
});

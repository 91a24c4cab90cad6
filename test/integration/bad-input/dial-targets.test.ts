import { expect, test } from "vitest";
import { type Endpoint, refusingAddress } from "../../support/endpoints.ts";
import { newRandom, proxyPath } from "../../support/frontend-client.ts";
import type { Scene } from "../../support/scene.ts";
import { useEcho, useScene } from "../../support/use-scene.ts";

let scene: Scene;
let echo: Endpoint;
useEcho((started) => {
  echo = started;
});
useScene({}, (started) => {
  scene = started;
});

/** Resolves to the error text of the answer, without the dial that it names at its end. */
async function refusalOf(protocol: string, address: string): Promise<string> {
  const stream = (await scene.session()).open(proxyPath);
  const random = newRandom();
  stream.send({ type: "DIAL_REQ", protocol, address, random });
  const answer = await stream.next("DIAL_RSP");
  expect(answer).toMatchObject({ random, connectId: 0n });
  expect(answer.error.endsWith(` (dial ${random})`)).toBe(true);
  return answer.error.slice(0, -` (dial ${random})`.length);
}

test.each([
  ["no-port", "dial tcp: address no-port: missing port in address"],
  ["", "dial tcp: address : missing port in address"],
  ["127.0.0.1:", "dial tcp: address 127.0.0.1:: invalid port"],
  ["127.0.0.1:0", "dial tcp: address 127.0.0.1:0: invalid port"],
  ["127.0.0.1:65536", "dial tcp: address 127.0.0.1:65536: invalid port"],
  ["127.0.0.1:-1", "dial tcp: address 127.0.0.1:-1: invalid port"],
  ["127.0.0.1:http", "dial tcp: address 127.0.0.1:http: invalid port"],
  ["127.0.0.1:1e3", "dial tcp: address 127.0.0.1:1e3: invalid port"],
  ["::1:80", "dial tcp: address ::1:80: too many colons in address"],
  ["a:b:c:80", "dial tcp: address a:b:c:80: too many colons in address"],
  ["[::1", "dial tcp: address [::1: too many colons in address"],
])("the address %j is refused in Go's words", async (address, text) => {
  expect(await refusalOf("tcp", address)).toBe(text);
});

test.each(["udp", "unix", "tcp4", "TCP", "", "ip:icmp"])("the protocol %j is refused", async (protocol) => {
  expect(await refusalOf(protocol, echo.address)).toBe(`dial ${protocol}: unknown network ${protocol}`);
});

test("a path of a socket is no address, whatever the protocol", async () => {
  const { frontend } = scene.tunnel.server;
  if (frontend.transport !== "uds") throw new Error("not over UDS");
  expect(await refusalOf("unix", frontend.path)).toBe("dial unix: unknown network unix");
  expect(await refusalOf("tcp", frontend.path)).toContain("missing port in address");
});

test("an endpoint that refuses is told in Go's words", async () => {
  const address = await refusingAddress();
  expect(await refusalOf("tcp", address)).toBe(`dial tcp ${address}: connect: connection refused`);
});

test("line breaks and escapes in an address reach neither answers nor logs as such", async () => {
  const text = await refusalOf("tcp", "evil\r\n\u001b[2J{}\u2028:1x");
  expect(text).not.toMatch(/[\p{Cc}\u2028]/u);
  for (const { stderr } of [scene.tunnel.server, ...scene.tunnel.agents]) {
    for (const line of stderr) expect(() => JSON.parse(line)).not.toThrow();
  }
});

test("an address of 64 KiB ends its stream alone", async () => {
  const session = await scene.session();
  const stream = session.open(proxyPath);
  const address = Buffer.from(`${"a".repeat(65_536)}:80`);
  const field = Buffer.from([0x12, ...varint(address.length)]);
  const payload = Buffer.concat([field, address]);
  stream.sendMessage(Buffer.from([0x12, ...varint(payload.length)]), payload);
  expect(await stream.rest()).toEqual([]);
  expect(await stream.ended).toMatchObject({ status: 3 });

  const next = session.open(proxyPath);
  next.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random: newRandom() });
  expect(await next.next("DIAL_RSP")).toMatchObject({ error: "" });
});

test.each([0n, 1n, (1n << 63n) - 1n, -1n, -(1n << 63n)])(
  "a dial with the id %s is answered with that id",
  async (random) => {
    const stream = (await scene.session()).open(proxyPath);
    stream.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random });
    const { connectId, ...answer } = await stream.next("DIAL_RSP");
    expect(answer).toMatchObject({ random, error: "" });
    expect(connectId).not.toBe(0n);
    stream.send({ type: "DATA", connectId, data: Buffer.from("hello") });
    expect(await stream.next("DATA")).toMatchObject({ connectId, data: Buffer.from("hello") });
  },
);

test("two clients that chose the same id at the same time are both answered", async () => {
  const random = newRandom();
  const streams = await Promise.all([1, 2].map(async () => (await scene.session()).open(proxyPath)));
  for (const stream of streams) stream.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random });
  for (const stream of streams) expect(await stream.next("DIAL_RSP")).toMatchObject({ random });
});

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

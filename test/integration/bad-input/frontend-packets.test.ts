import { expect, test } from "vitest";
import type { Endpoint } from "../../support/endpoints.ts";
import { dialGrpc, newRandom, proxyPath, readBytes } from "../../support/frontend-client.ts";
import type { RawSession, RawStream } from "../../support/raw-grpc.ts";
import type { Scene } from "../../support/scene.ts";
import { useEcho, useScene } from "../../support/use-scene.ts";

const invalidArgument = 3;
const resourceExhausted = 8;
const unimplemented = 12;

let scene: Scene;
let echo: Endpoint;
useEcho((started) => {
  echo = started;
});
useScene({}, (started) => {
  scene = started;
});

/** Does `bad` on a new stream of a client connection whose other stream must not notice. */
async function onOneStreamAlone(bad: (stream: RawStream, session: RawSession) => Promise<void>): Promise<void> {
  const session = await scene.session();
  const neighbour = await dialGrpc(session, echo.address);
  await bad(session.open(proxyPath), session);
  neighbour.write("still here");
  expect((await readBytes(neighbour, 10)).toString()).toBe("still here");
}

/** Dials the echo on `stream` and sees that it echoes. */
async function dialEcho(stream: RawStream): Promise<bigint> {
  const random = newRandom();
  stream.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random });
  const answer = await stream.next("DIAL_RSP");
  expect(answer).toMatchObject({ random, error: "" });
  expect(answer.connectId).toBeGreaterThan(0n);
  await expectEcho(stream, answer.connectId, "hello");
  return answer.connectId;
}

async function expectEcho(stream: RawStream, connectId: bigint, text: string): Promise<void> {
  stream.send({ type: "DATA", connectId, data: Buffer.from(text) });
  let echoed = "";
  while (echoed.length < text.length) {
    const packet = await stream.next("DATA");
    expect(packet.connectId).toBe(connectId);
    echoed += packet.data.toString();
  }
  expect(echoed).toBe(text);
}

test.each([
  ["a DIAL_REQ without payload", ""],
  ["a DATA without payload", "0804"],
  ["a DATA whose payload is that of CLOSE_REQ", "08042a020801"],
  ["a truncated packet", "12170a03"],
  ["a varint without end", "08ffffffffffffffffffffff"],
  ["a dial whose protocol is longer than any", `1242 0a40 ${"61".repeat(64)}`],
])("%s ends its stream with INVALID_ARGUMENT", (_what, hex) =>
  onOneStreamAlone(async (stream) => {
    stream.sendMessage(Buffer.from(hex.replaceAll(" ", ""), "hex"));
    expect(await stream.rest()).toEqual([]);
    expect(await stream.ended).toMatchObject({ status: invalidArgument });
  }),
);

test("a broken packet on a stream with a connection closes that connection", () =>
  onOneStreamAlone(async (stream) => {
    await dialEcho(stream);
    const before = echo.openCount;
    stream.sendMessage(Buffer.from([0xff]));
    await stream.rest();
    expect(await stream.ended).toMatchObject({ status: invalidArgument });
    await expect.poll(() => echo.openCount, { timeout: 5_000 }).toBe(before - 1);
  }));

test("a message of 5 MiB ends its stream with RESOURCE_EXHAUSTED", () =>
  onOneStreamAlone(async (stream) => {
    stream.sendMessage(Buffer.alloc(5 * 1024 * 1024));
    expect(await stream.rest()).toEqual([]);
    expect(await stream.ended).toMatchObject({
      status: resourceExhausted,
      message: "grpc: received message larger than max (5242880 vs. 4194304)",
    });
  }));

test("a compressed message ends its stream with UNIMPLEMENTED", () =>
  onOneStreamAlone(async (stream) => {
    stream.sendBytes(Buffer.from("010000000178", "hex"));
    await stream.rest();
    expect(await stream.ended).toMatchObject({ status: unimplemented });
  }));

test("random bytes in place of messages end their stream with an error", () =>
  onOneStreamAlone(async (stream) => {
    stream.sendBytes(Buffer.from("deadbeefcafef00dfeedface", "hex"));
    await stream.rest();
    expect((await stream.ended).status).toBeGreaterThan(0);
  }));

test("a service that is not there is UNIMPLEMENTED, also the agents' own", () =>
  onOneStreamAlone(async (_stream, session) => {
    for (const path of ["/AgentService/Connect", "/ProxyService/Other", "/"]) {
      const stream = session.open(path, { agentid: "x", agentidentifiers: "" });
      await stream.rest();
      expect(await stream.ended).toMatchObject({ status: unimplemented });
    }
  }));

test("a message of exactly 4 MiB reaches the endpoint, however long the ids on its way are", () =>
  onOneStreamAlone(async (stream) => {
    const random = 1n;
    stream.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random });
    const { connectId } = await stream.next("DIAL_RSP");
    const wholeBytes = 4 * 1024 * 1024;
    const headBytes = 2 + 1 + 4 + 2 + 1 + 4;
    const data = Buffer.alloc(wholeBytes - headBytes, 0x5a);
    stream.send({ type: "DATA", connectId, data });
    let echoed = 0;
    while (echoed < data.length) echoed += (await stream.next("DATA")).data.length;
    expect(echoed).toBe(data.length);
  }));

test("a second DIAL_REQ with another id is refused, and the first connection goes on", () =>
  onOneStreamAlone(async (stream) => {
    const connectId = await dialEcho(stream);
    const random = newRandom();
    stream.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random });
    const error = `this stream has a dial already (dial ${random})`;
    expect(await stream.next("DIAL_RSP")).toMatchObject({ random, connectId: 0n, error });
    await expectEcho(stream, connectId, "the first goes on");
  }));

test("a second DIAL_REQ with the same id gets no second answer", () =>
  onOneStreamAlone(async (stream) => {
    const random = newRandom();
    const dial = { type: "DIAL_REQ", protocol: "tcp", address: echo.address, random } as const;
    stream.send(dial);
    stream.send(dial);
    const { connectId } = await stream.next("DIAL_RSP");
    stream.send(dial);
    await expectEcho(stream, connectId, "one answer");
    expect(await stream.finish()).toEqual([]);
    expect(await stream.ended).toMatchObject({ status: 0 });
  }));

test("DATA before DIAL_REQ is answered with CLOSE_RSP, and the rest of the stream is discarded", () =>
  onOneStreamAlone(async (stream) => {
    stream.send({ type: "DATA", connectId: 7n, data: Buffer.from("early") });
    expect(await stream.next("CLOSE_RSP")).toMatchObject({ connectId: 7n, error: "backend not initialized" });
    stream.send({ type: "DIAL_REQ", protocol: "tcp", address: echo.address, random: newRandom() });
    expect(await stream.finish()).toEqual([]);
  }));

test("CLOSE_REQ before DIAL_REQ is answered, and the stream can still dial", () =>
  onOneStreamAlone(async (stream) => {
    stream.send({ type: "CLOSE_REQ", connectId: 7n });
    expect(await stream.next("CLOSE_RSP")).toMatchObject({ connectId: 7n, error: "backend uninitialized" });
    await dialEcho(stream);
  }));

test("DATA for another client's connection ends the sender's own, and not a byte of it arrives there", () =>
  onOneStreamAlone(async (stream) => {
    const victim = await scene.dialGrpc(echo.address);
    const own = await dialEcho(stream);
    stream.send({ type: "DATA", connectId: victim.connectId, data: Buffer.from("intruder") });
    const error = "mismatched connection IDs";
    expect(await stream.next("CLOSE_RSP")).toMatchObject({ connectId: victim.connectId, error });
    expect(await stream.next("CLOSE_RSP")).toMatchObject({ connectId: own, error });
    expect(await stream.finish()).toEqual([]);
    victim.write("mine alone");
    expect((await readBytes(victim, 10)).toString()).toBe("mine alone");
  }));

test("CLOSE_REQ for another client's connection closes nothing", () =>
  onOneStreamAlone(async (stream) => {
    const victim = await scene.dialGrpc(echo.address);
    const own = await dialEcho(stream);
    stream.send({ type: "CLOSE_REQ", connectId: victim.connectId });
    const refusal = { connectId: victim.connectId, error: "Unknown connectID" };
    expect(await stream.next("CLOSE_RSP")).toMatchObject(refusal);
    await expectEcho(stream, own, "mine goes on");
    victim.write("and mine");
    expect((await readBytes(victim, 8)).toString()).toBe("and mine");
  }));

test("CLOSE_REQ twice gets one CLOSE_RSP", () =>
  onOneStreamAlone(async (stream) => {
    const connectId = await dialEcho(stream);
    stream.send({ type: "CLOSE_REQ", connectId });
    stream.send({ type: "CLOSE_REQ", connectId });
    expect(await stream.next("CLOSE_RSP")).toMatchObject({ connectId, error: "" });
    stream.send({ type: "CLOSE_REQ", connectId });
    expect(await stream.finish()).toEqual([]);
  }));

test("packets that clients do not send, types and fields that nobody knows are passed over", () =>
  onOneStreamAlone(async (stream) => {
    stream.send({ type: "DIAL_RSP", random: 1n, connectId: 1n, error: "" });
    stream.send({ type: "CLOSE_RSP", connectId: 1n, error: "" });
    stream.send({ type: "DRAIN" });
    stream.send({ type: "DIAL_CLS", random: 5n });
    const unknownType = Buffer.from("0863", "hex");
    const unknownField = Buffer.from("9a0603010203", "hex");
    stream.sendMessage(unknownType);
    stream.sendMessage(unknownField, Buffer.from("08064200", "hex"));
    const connectId = await dialEcho(stream);
    stream.send({ type: "DATA", connectId: 0n, data: Buffer.from("to nobody") });
    stream.send({ type: "DATA", connectId, data: Buffer.alloc(0) });
    await expectEcho(stream, connectId, "as if nothing had been");
  }));

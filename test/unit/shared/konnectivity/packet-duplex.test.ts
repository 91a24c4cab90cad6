import { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { finished } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { ProxyError } from "../../../../shared/errors.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import { PacketDuplex } from "../../../../shared/konnectivity/packet-duplex.ts";
import { PacketStream } from "../../../../shared/konnectivity/packet-stream.ts";
import { FakeGrpcStream } from "../../../support/fake-grpc-stream.ts";
import { receive } from "../../../support/memory-duplex.ts";
import { turn } from "../../../support/turn.ts";

const connectId = 77n;
const queueMaxBytes = 64 * 1024;

async function opened() {
  const stream = new FakeGrpcStream();
  const meter = { sent() {}, received() {}, sendFailed() {}, receiveFailed() {} };
  const packets = new PacketStream(stream, { meter });
  packets.start({ onPacket() {}, onEnd() {}, onBroken() {}, onOverload() {}, onClose() {} });
  await turn();
  const events: string[] = [];
  const duplex: PacketDuplex = new PacketDuplex({
    packets,
    connectId,
    queueMaxBytes,
    onOverflow: () => events.push("overflow"),
    onRelief: () => events.push("relief"),
    onClosing: () => {
      events.push("closing");
      packets.send({ type: "CLOSE_REQ", connectId });
    },
  });
  return { stream, duplex, events };
}

describe("reading", () => {
  it("gives the bytes in order, then the end, also when the peer closed before they were read", async () => {
    const { duplex } = await opened();
    for (const text of ["one ", "two ", "three"]) duplex.deliver(Buffer.from(text));
    duplex.deliverClose();
    duplex.deliver(Buffer.from("too late"));
    const got = receive(duplex);
    await turn();
    expect(got.bytes.toString()).toBe("one two three");
    expect(got.ended).toBe(true);
  });

  it("ends at once when nothing waits", async () => {
    const { duplex } = await opened();
    const got = receive(duplex);
    await turn();
    duplex.deliverClose();
    duplex.deliverClose();
    await turn();
    expect(got.ended).toBe(true);
  });

  it("copies small chunks out of the read buffer that they lie in, and passes large ones on", async () => {
    const { duplex } = await opened();
    const chunks: Buffer[] = [];
    duplex.on("data", (chunk: Buffer) => chunks.push(chunk));
    await turn();
    const small = Buffer.alloc(4095, "s");
    const large = Buffer.alloc(4096, "l");
    duplex.deliver(small);
    duplex.deliver(large);
    small.fill("x");
    await turn();
    expect(chunks[0]?.toString()).toBe("s".repeat(4095));
    expect(chunks[1]?.buffer).toBe(large.buffer);
  });

  it("charges each chunk that waits its bytes and 256 more, however small it is", async () => {
    const { duplex, events } = await opened();
    duplex.on("readable", () => {});
    for (let count = 0; count < 1_000; count += 1) {
      duplex.deliver(Buffer.from("x"));
      if (count % 100 === 0) await turn();
    }
    expect(duplex.queuedCharge).toBeGreaterThan(990 * 257);
    expect(events).toEqual(["overflow"]);
  });

  it("takes the packet that comes over the limit, tells once, and tells of the relief", async () => {
    const { duplex, events } = await opened();
    const chunk = Buffer.alloc(16 * 1024, "x");
    let delivered = 0;
    while (events.length === 0) {
      duplex.deliver(chunk);
      delivered += chunk.length;
    }
    expect(duplex.queuedCharge).toBeGreaterThan(queueMaxBytes);
    expect(duplex.queuedCharge).toBeLessThanOrEqual(queueMaxBytes + 2 * (chunk.length + 256));
    duplex.deliver(chunk);
    expect(events).toEqual(["overflow"]);
    const got = receive(duplex);
    await turn();
    expect(events).toEqual(["overflow", "relief"]);
    expect(got.bytes.length).toBe(delivered + chunk.length);
    expect(duplex.queuedCharge).toBe(0);
  });

  it("drops what waits when it is destroyed, and relieves the stream", async () => {
    const { duplex, events } = await opened();
    while (events.length === 0) duplex.deliver(Buffer.alloc(16 * 1024));
    duplex.destroy(new ProxyError("cancelled", "the client has gone"));
    duplex.deliver(Buffer.alloc(1));
    expect(duplex.queuedCharge).toBe(0);
    expect(events).toEqual(["overflow", "relief", "closing"]);
  });

  it("counts what its reader took", async () => {
    const { duplex } = await opened();
    const chunk = Buffer.alloc(8 * 1024);
    for (let count = 0; count < 8; count += 1) duplex.deliver(chunk);
    duplex.read();
    const first = duplex.takenBytes;
    expect(first).toBeGreaterThanOrEqual(chunk.length);
    expect(first).toBeLessThan(8 * chunk.length);
    duplex.resume();
    await turn();
    expect(duplex.takenBytes).toBe(8 * chunk.length);
  });
});

describe("writing", () => {
  it("sends DATA, then one closing packet", async () => {
    const { duplex, stream } = await opened();
    duplex.write("a");
    duplex.end("b");
    await turn();
    duplex.destroy();
    await turn();
    expect(stream.taken()).toEqual([
      { type: "DATA", connectId, data: Buffer.from("a") },
      { type: "DATA", connectId, data: Buffer.from("b") },
      { type: "CLOSE_REQ", connectId },
    ]);
  });

  it("sends one closing packet when it is destroyed", async () => {
    const { duplex, stream, events } = await opened();
    duplex.destroy(new ProxyError("shutdown", "bye"));
    duplex.destroy();
    await turn();
    expect(stream.taken()).toEqual([{ type: "CLOSE_REQ", connectId }]);
    expect(events).toEqual(["closing"]);
  });

  it("sends a large write in packets that any peer takes and that others can come between", async () => {
    const { duplex, stream } = await opened();
    const bytes = Buffer.alloc(4 * 1024 * 1024 - 14);
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = at % 251;
    duplex.end(bytes);
    await turn();
    const sent = stream.taken();
    const pieces = sent.flatMap((packet) => (packet.type === "DATA" ? [packet.data] : []));
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(64 * 1024);
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    expect(sent.at(-1)?.type).toBe("CLOSE_REQ");
  });

  it("waits while the stream is full, also between the packets of one write", async () => {
    const { duplex, stream } = await opened();
    stream.full = true;
    duplex.end(Buffer.alloc(160 * 1024));
    await turn();
    const types = () => stream.taken().map((packet) => packet.type);
    expect(types()).toEqual(["DATA"]);
    stream.drain();
    await turn();
    expect(types()).toEqual(["DATA", "DATA", "CLOSE_REQ"]);
  });

  it("drops what is written after the peer's close, and finishes all the same", async () => {
    const { duplex, stream } = await opened();
    duplex.deliverClose();
    duplex.resume();
    duplex.end("nobody wants this");
    await finished(duplex);
    expect(stream.taken()).toEqual([{ type: "CLOSE_REQ", connectId }]);
  });

  it("finishes a write that waits when the stream closes", async () => {
    const { duplex, stream } = await opened();
    stream.full = true;
    duplex.write("a");
    duplex.write("b");
    await turn();
    stream.close({ code: GrpcCode.UNAVAILABLE, message: "" });
    duplex.end();
    duplex.resume();
    duplex.deliverClose();
    await finished(duplex);
  });

  it("waits for the stream no more once it is destroyed", async () => {
    const { duplex, stream } = await opened();
    stream.full = true;
    duplex.write("a");
    duplex.write(Buffer.alloc(1024));
    await turn();
    duplex.destroy();
    await turn();
    stream.taken();
    stream.drain();
    await turn();
    expect(stream.taken()).toEqual([]);
  });
});

it("survives an error that nobody listens for", async () => {
  const { duplex } = await opened();
  duplex.destroy(new ProxyError("agent_lost", "lost before anybody had it"));
  await turn();
  expect(duplex.errored).toMatchObject({ code: "agent_lost" });
});

it("remembers the reader that is a TCP socket, and no other", async () => {
  const { duplex } = await opened();
  const tcp = Object.defineProperty(new Socket(), "remoteAddress", { value: "127.0.0.1" });
  // A socket without an address is a Unix one.
  for (const reader of [new PassThrough(), new Socket()]) duplex.readBy(reader);
  expect(duplex.reader).toBeUndefined();
  duplex.readBy(tcp);
  expect(duplex.reader).toBe(tcp);
});

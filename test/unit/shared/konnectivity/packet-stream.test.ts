import { describe, expect, it } from "vitest";
import type { ProxyError } from "../../../../shared/errors.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import type { Packet, WireError } from "../../../../shared/konnectivity/packet.ts";
import { PacketStream } from "../../../../shared/konnectivity/packet-stream.ts";
import { FakeGrpcStream } from "../../../support/fake-grpc-stream.ts";
import { turn } from "../../../support/turn.ts";

const data = (text: string) => ({ type: "DATA", connectId: 1n, data: Buffer.from(text) }) as const;
const dial = { type: "DIAL_CLS", random: 7n } as const;

function started() {
  const stream = new FakeGrpcStream();
  const metered: string[] = [];
  const packets = new PacketStream(stream, {
    meter: {
      sent: (type) => metered.push(`sent ${type}`),
      received: (type) => metered.push(`received ${type}`),
      sendFailed: (type) => metered.push(`send failed ${type}`),
      receiveFailed: (code) => metered.push(`receive failed ${code}`),
    },
  });
  const events: (Packet | string)[] = [];
  packets.start({
    onPacket: (packet) => events.push(packet),
    onEnd: () => events.push("end"),
    onBroken: (error: WireError) => events.push(`broken: ${error.message}`),
    onOverload: (error: ProxyError) => events.push(`overload: ${error.code}`),
    onClose: (status) => events.push(`close ${status.code}`),
  });
  return { stream, packets, events, metered };
}

describe("taking turns", () => {
  it("lets a sender go at once while the stream takes more", () => {
    const { packets } = started();
    const woken: string[] = [];
    packets.whenWritable(() => woken.push("a"));
    expect(woken).toEqual(["a"]);
  });

  it("wakes those who wait in the order of asking, and again one after the other", () => {
    const { stream, packets } = started();
    const order: string[] = [];
    // Each sender sends one packet in its turn, which fills the stream, and asks again.
    const sender = (name: string) => {
      packets.whenWritable(() => {
        order.push(name);
        stream.full = true;
        packets.send(data(name));
        sender(name);
      });
    };
    stream.full = true;
    packets.send(dial);
    for (const name of ["a", "b", "c"]) sender(name);
    for (let turns = 0; turns < 7; turns += 1) stream.drain();
    expect(order).toEqual(["a", "b", "c", "a", "b", "c", "a"]);
  });

  it("wakes all whom the stream has room for", () => {
    const { stream, packets } = started();
    stream.full = true;
    packets.send(dial);
    const woken: string[] = [];
    for (const name of ["a", "b"]) packets.whenWritable(() => woken.push(name));
    expect(woken).toEqual([]);
    stream.drain();
    expect(woken).toEqual(["a", "b"]);
  });

  it("forgets who waits no more", () => {
    const { stream, packets } = started();
    stream.full = true;
    packets.send(dial);
    const woken: string[] = [];
    const wake = () => woken.push("a");
    packets.whenWritable(wake);
    packets.whenWritable(() => woken.push("b"));
    packets.waitNoMore(wake);
    stream.drain();
    expect(woken).toEqual(["b"]);
  });

  it("wakes everybody at the close, and later ones at once", async () => {
    const { stream, packets, events } = started();
    await turn();
    stream.full = true;
    packets.send(dial);
    const woken: string[] = [];
    packets.whenWritable(() => woken.push("a"));
    stream.close({ code: GrpcCode.UNAVAILABLE, message: "" });
    packets.whenWritable(() => woken.push("b"));
    expect(woken).toEqual(["a", "b"]);
    expect(events).toEqual(["close 14"]);
  });
});

describe("sending", () => {
  it("does not wait with control packets while the stream is full", () => {
    const { stream, packets } = started();
    stream.full = true;
    packets.send(data("x"));
    packets.send(dial);
    expect(stream.taken()).toEqual([data("x"), dial]);
  });

  it("tells once that the peer leaves too much unread", () => {
    const { stream, packets, events } = started();
    stream.full = true;
    stream.bufferedBytes = 8 * 1024 * 1024;
    packets.send(dial);
    expect(events).toEqual([]);
    stream.bufferedBytes += 1;
    packets.send(dial);
    packets.send(dial);
    expect(events).toEqual(["overload: over_limit"]);
  });

  it("drops what comes after the close, and counts it as failed", async () => {
    const { stream, packets, metered } = started();
    await turn();
    stream.close({ code: GrpcCode.OK, message: "" });
    packets.send(dial);
    expect(stream.taken()).toEqual([]);
    expect(metered).toEqual(["sent DIAL_CLS", "send failed DIAL_CLS"]);
    expect(packets.closed).toBe(true);
  });
});

describe("receiving", () => {
  it("hands over packets, the peer's end, and how the stream closed", async () => {
    const { stream, events, metered } = started();
    stream.receive(data("x"), dial);
    await turn();
    stream.receiveEnd();
    stream.close({ code: GrpcCode.UNAVAILABLE, message: "gone" });
    expect(events).toEqual([data("x"), dial, "end", "close 14"]);
    expect(metered).toEqual(["received DATA", "received DIAL_CLS", "receive failed 14"]);
  });

  it("passes a type that it does not know on, and meters it by number", async () => {
    const { stream, events, metered } = started();
    stream.receiveMessage(Buffer.from([0x08, 0x2a]));
    await turn();
    expect(events).toEqual([{ type: "UNKNOWN", number: 42 }]);
    expect(metered).toEqual(["received 42"]);
  });

  it("tells once of a broken packet, and hands over none after it", async () => {
    const { stream, events, metered } = started();
    stream.receiveMessage(Buffer.alloc(0));
    stream.receiveMessage(Buffer.from([0xff]));
    stream.receive(dial);
    await turn();
    expect(events).toEqual(["broken: DIAL_REQ packet has no payload"]);
    expect(metered).toEqual(["receive failed undefined"]);
  });

  it("holds packets back while it is paused", async () => {
    const { stream, packets, events } = started();
    await turn();
    packets.pause();
    stream.receive(dial);
    expect(events).toEqual([]);
    packets.resume();
    await turn();
    expect(events).toEqual([dial]);
  });
});

import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { type Protocol, sniffProtocol } from "../../../../server/listeners/sniff.ts";
import { silentLog } from "../../../../shared/log.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { memoryPair, receive } from "../../../support/memory-duplex.ts";
import { turn } from "../../../support/turn.ts";

function sniffed() {
  const clock = new FakeClock();
  const [client, socket] = memoryPair();
  const found: Protocol[] = [];
  const refused: string[] = [];
  const deps = { clock, log: silentLog, onRefused: (limit: string) => refused.push(limit) };
  sniffProtocol(socket as unknown as Socket, deps, (protocol) => found.push(protocol));
  return { clock, client, socket, found, refused };
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

describe("the first bytes tell", () => {
  it.each([
    [preface, "grpc"],
    [`${preface}more`, "grpc"],
    ["PRI", "grpc"],
    ["CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n", "http-connect"],
    ["POST / HTTP/1.1\r\n\r\n", "http-connect"],
    ["PRONTO / HTTP/1.1", "http-connect"],
    ["PRI * HTTP/1.1\r\n", "http-connect"],
    ["\u0016\u0003\u0001", "http-connect"],
  ])("%j is %s, and the bytes are still there", async (bytes, protocol) => {
    const { client, socket, found, clock } = sniffed();
    client.write(bytes);
    await turn();
    expect(found).toEqual([protocol]);
    expect(clock.pending).toBe(0);
    const got = receive(socket);
    client.write("!");
    await turn();
    expect(got.bytes.toString()).toBe(`${bytes}!`);
  });

  it.each([
    [preface, "grpc"],
    ["PUT / HTTP/1.1", "http-connect"],
  ])("byte by byte: %j is %s, told once, and no byte is lost", async (bytes, protocol) => {
    const { client, socket, found } = sniffed();
    let got: { readonly bytes: Buffer } | undefined;
    for (const byte of bytes) {
      client.write(byte);
      await turn();
      if (found.length > 0) got ??= receive(socket);
    }
    await turn();
    expect(found).toEqual([protocol]);
    expect(got?.bytes.toString()).toBe(bytes);
  });
});

describe("a client that does not tell", () => {
  it.each(["", "P", "PR"])("is closed after 10 s: %j", async (bytes) => {
    const { client, socket, found, clock, refused } = sniffed();
    if (bytes !== "") client.write(bytes);
    await turn();
    clock.advance(9_999);
    expect(socket.destroyed).toBe(false);
    clock.advance(1);
    await turn();
    expect(socket.destroyed).toBe(true);
    expect([found, refused]).toEqual([[], ["first_byte_time"]]);
    expect(clock.pending).toBe(0);
  });

  it.each(["leaves", "half-closes"])("and %s is forgotten at once", async (how) => {
    const { client, socket, found, clock } = sniffed();
    if (how === "leaves") client.destroy(new Error("reset"));
    else client.end("P");
    await turn();
    expect(socket.destroyed).toBe(true);
    expect(found).toEqual([]);
    expect(clock.pending).toBe(0);
    expect(socket.listenerCount("readable")).toBe(0);
  });
});

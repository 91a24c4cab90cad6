import { once } from "node:events";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { ProxyStream } from "../../../../cli/client/proxy-stream.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeClientCall } from "../../../support/fake-grpc-stream.ts";

const connectId = 77n;
const never = new AbortController().signal;

function start(signal: AbortSignal = never) {
  const call = new FakeClientCall();
  const clock = new FakeClock();
  const ends = { count: 0 };
  const onClosed = () => {
    ends.count += 1;
    call.cancel("done");
  };
  const dialed = new ProxyStream({ stream: call, clock, onClosed }).dial("10.0.0.1:443", { signal });
  const [request] = call.taken();
  if (request?.type !== "DIAL_REQ") throw new Error("no dial was sent");
  return { call, clock, ends, dialed, request, random: request.random };
}

async function open() {
  const started = start();
  started.call.receive({ type: "DIAL_RSP", random: started.random, connectId, error: "" });
  return { ...started, duplex: await started.dialed };
}

const closed = (duplex: Duplex) => once(duplex, "close");

describe("the dial", () => {
  test("asks for tcp to the target", () => {
    expect(start().request).toMatchObject({ protocol: "tcp", address: "10.0.0.1:443" });
  });

  test("fails with the proxy's words, sorted by their code", async () => {
    const { call, dialed, random, ends } = start();
    const error = "dial tcp 10.0.0.1:443: connect: connection refused";
    call.receive({ type: "DIAL_RSP", random, connectId: 0n, error });
    await expect(dialed).rejects.toMatchObject({ name: "ProxyError", code: "refused", message: error });
    expect(ends.count).toBe(1);
  });

  test("does not take the answer to another dial for its own", async () => {
    const { call, dialed, random } = start();
    call.receive({ type: "DIAL_RSP", random: random + 1n, connectId: 0n, error: "not yours" });
    call.receive({ type: "DIAL_CLS", random: random + 1n });
    call.receive({ type: "DIAL_RSP", random, connectId, error: "" });
    await expect(dialed).resolves.toMatchObject({ connectId });
  });

  test("fails when the proxy gives it up", async () => {
    const { call, dialed, random, ends } = start();
    call.receive({ type: "DIAL_CLS", random });
    await expect(dialed).rejects.toMatchObject({ code: "cancelled" });
    expect(ends.count).toBe(1);
  });

  test("fails with the status of a stream that ends", async () => {
    const { call, dialed, ends } = start();
    call.close({ code: GrpcCode.UNAVAILABLE, message: "gone" });
    await expect(dialed).rejects.toMatchObject({ name: "GrpcError", code: GrpcCode.UNAVAILABLE, message: "gone" });
    expect(ends.count).toBe(1);
  });

  test("fails on a message that is no packet", async () => {
    const { call, dialed } = start();
    call.receiveMessage(Buffer.from([0xff]));
    await expect(dialed).rejects.toMatchObject({ code: "protocol" });
  });

  test("ends with the signal's reason, and the stream with it", async () => {
    const cancel = new AbortController();
    const { dialed, ends } = start(cancel.signal);
    const reason = new Error("enough");
    cancel.abort(reason);
    await expect(dialed).rejects.toBe(reason);
    expect(ends.count).toBe(1);
  });
});

describe("the connection", () => {
  test("carries bytes both ways, and drops those for another id", async () => {
    const { call, duplex } = await open();
    duplex.write("up");
    expect(call.taken()).toEqual([{ type: "DATA", connectId, data: Buffer.from("up") }]);
    call.receive({ type: "DATA", connectId: 78n, data: Buffer.from("lost") });
    call.receive({ type: "DATA", connectId, data: Buffer.from("down") });
    call.receive({ type: "CLOSE_RSP", connectId, error: "" });
    expect(await text(duplex)).toBe("down");
  });

  test("what came before the proxy's close is read to its end, though the stream is gone", async () => {
    const { call, duplex, ends } = await open();
    call.receive({ type: "DATA", connectId, data: Buffer.from("the last words") });
    call.receive({ type: "CLOSE_RSP", connectId, error: "" });
    call.close({ code: GrpcCode.UNAVAILABLE, message: "gone" });
    expect(await text(duplex)).toBe("the last words");
    expect(ends.count).toBe(1);
  });

  test("end() asks for the close once and waits for the answer", async () => {
    const { call, duplex, ends } = await open();
    duplex.resume();
    duplex.end();
    await once(duplex, "finish");
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId }]);
    expect(ends.count).toBe(0);
    call.receive({ type: "CLOSE_RSP", connectId, error: "" });
    await closed(duplex);
    expect(ends.count).toBe(1);
    expect(call.taken()).toEqual([]);
  });

  test("a close that is not answered is given up after 10 s", async () => {
    const { clock, duplex, ends } = await open();
    duplex.resume();
    duplex.end();
    await once(duplex, "finish");
    const error = once(duplex, "error");
    clock.advance(10_000);
    await expect(error).resolves.toMatchObject([{ code: "stalled" }]);
    expect(ends.count).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test("a close with an error is one", async () => {
    const { call, duplex } = await open();
    call.receive({ type: "CLOSE_RSP", connectId, error: "mismatched connection IDs" });
    await expect(text(duplex)).rejects.toMatchObject({ code: "protocol", message: "mismatched connection IDs" });
  });

  test("the loss of the stream is an error, not an end", async () => {
    const { call, duplex, ends } = await open();
    call.close({ code: GrpcCode.UNAVAILABLE, message: "gone" });
    await expect(text(duplex)).rejects.toMatchObject({ name: "GrpcError", message: "gone" });
    expect(ends.count).toBe(1);
  });

  test("destroy() tells the proxy and ends the stream", async () => {
    const { call, duplex, ends } = await open();
    const done = closed(duplex);
    duplex.destroy();
    await done;
    expect(call.taken()).toEqual([{ type: "CLOSE_REQ", connectId }]);
    expect(ends.count).toBe(1);
  });

  test("a reader that stops pauses the stream, and one that goes on resumes it", async () => {
    const { call, duplex } = await open();
    const data = Buffer.alloc(64 * 1024);
    for (let sent = 0; !call.paused && sent < 100; sent++) call.receive({ type: "DATA", connectId, data });
    expect(call.paused).toBe(true);
    duplex.resume();
    await once(duplex, "data");
    expect(call.paused).toBe(false);
  });
});

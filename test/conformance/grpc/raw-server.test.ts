import { createServer, type Http2Server, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { GrpcCode } from "../../../shared/grpc/status.ts";
import type { GrpcClientCall, GrpcClientSession } from "../../../shared/grpc/stream.ts";
import { connectTcp } from "./hawser-peer.ts";
import { deferred } from "./peers.ts";
import { frame } from "./raw.ts";

/** The client against a server that is nothing but HTTP/2, for what a gRPC library would not send. */

let server: Http2Server;
let session: GrpcClientSession;
let answer: (stream: ServerHttp2Stream) => void;

beforeEach(async () => {
  server = createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.resume();
    answer(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  session = await connectTcp((server.address() as AddressInfo).port);
});

afterEach(async () => {
  session.abort("the test is over");
  await session.closed;
  await new Promise((resolve) => server.close(resolve));
});

const grpc = { ":status": 200, "content-type": "application/grpc" };

/** Answers with messages in the given writes, then with trailers if any. */
function respond(stream: ServerHttp2Stream, writes: readonly Buffer[], trailers?: OutgoingHttpHeaders): void {
  stream.respond(grpc, trailers === undefined ? {} : { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
  const next = (index: number): void => {
    const bytes = writes[index];
    if (bytes === undefined) stream.end();
    // The next write waits until this one has gone, so that each is a frame of its own.
    else stream.write(bytes, () => setImmediate(next, index + 1));
  };
  next(0);
}

async function collect(call: GrpcClientCall) {
  const messages: string[] = [];
  let ended = false;
  call.start({
    onMessage: (message) => messages.push(message.toString()),
    onEnd: () => {
      ended = true;
    },
    onClose() {},
  });
  const { code, message } = await call.closed;
  return { code, message, messages, ended };
}

test("messages cut at every boundary", async () => {
  const bytes = Buffer.concat([frame("one"), frame(""), frame("three")]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const writes = [bytes.subarray(0, cut), bytes.subarray(cut)].filter((part) => part.length > 0);
    answer = (stream) => respond(stream, writes, { "grpc-status": "0" });
    expect(await collect(session.open("/x")), `cut at ${cut}`).toEqual({
      code: GrpcCode.OK,
      message: "",
      messages: ["one", "", "three"],
      ended: true,
    });
  }
});

describe("how a call ends", () => {
  test.each<[string, (stream: ServerHttp2Stream) => void, GrpcCode]>([
    ["trailers-only", (stream) => stream.respond({ ...grpc, "grpc-status": "16" }, { endStream: true }), 16],
    ["an unknown status", (stream) => respond(stream, [], { "grpc-status": "99" }), GrpcCode.UNKNOWN],
    ["trailers without a status", (stream) => respond(stream, [], { other: "x" }), GrpcCode.INTERNAL],
    ["no trailers", (stream) => respond(stream, [frame("x")]), GrpcCode.INTERNAL],
    ["half a message", (stream) => respond(stream, [Buffer.from([0, 0, 0])], { "grpc-status": "0" }), 13],
    ["a compressed message", (stream) => respond(stream, [Buffer.from("0100000000", "hex")]), GrpcCode.UNIMPLEMENTED],
    ["HTTP 401", (stream) => stream.respond({ ":status": 401 }, { endStream: true }), GrpcCode.UNAUTHENTICATED],
    ["HTTP 404", (stream) => stream.respond({ ":status": 404 }, { endStream: true }), GrpcCode.UNIMPLEMENTED],
    ["HTTP 503", (stream) => stream.respond({ ":status": 503 }, { endStream: true }), GrpcCode.UNAVAILABLE],
    ["a web page", (stream) => stream.respond({ ":status": 200, "content-type": "text/html" }), GrpcCode.UNKNOWN],
    ["bad metadata", (stream) => stream.respond({ ...grpc, "a-bin": "*" }), GrpcCode.INTERNAL],
    ["RST_STREAM REFUSED_STREAM", (stream) => stream.close(7), GrpcCode.UNAVAILABLE],
    ["RST_STREAM CANCEL", (stream) => stream.close(8), GrpcCode.CANCELLED],
    ["RST_STREAM ENHANCE_YOUR_CALM", (stream) => stream.close(11), GrpcCode.RESOURCE_EXHAUSTED],
    ["RST_STREAM INADEQUATE_SECURITY", (stream) => stream.close(12), GrpcCode.PERMISSION_DENIED],
    ["RST_STREAM INTERNAL_ERROR", (stream) => stream.close(2), GrpcCode.INTERNAL],
  ])("%s", async (_name, respondWith, code) => {
    answer = respondWith;
    const broken = await collect(session.open("/x"));
    expect(broken.code).toBe(code);
    expect(broken.ended).toBe(false);
    // The session is none the worse for it.
    answer = (stream) => respond(stream, [frame("fine")], { "grpc-status": "0" });
    expect(await collect(session.open("/x"))).toMatchObject({ code: GrpcCode.OK, messages: ["fine"] });
  });
});

test("RST_STREAM NO_ERROR ends a call also while a message is on its way and finds no room", async () => {
  answer = (stream) => {
    stream.pause();
    // With trailers to wait for, Node's end of a stream that it resets is not sent.
    stream.respond(grpc, { waitForTrailers: true });
    stream.once("readable", () => stream.close(0));
  };
  const call = session.open("/x");
  const collected = collect(call);
  call.send(Buffer.alloc(1024 * 1024));
  expect(await collected).toMatchObject({ code: GrpcCode.INTERNAL, ended: false });
  answer = (stream) => respond(stream, [frame("fine")], { "grpc-status": "0" });
  expect(await collect(session.open("/x"))).toMatchObject({ code: GrpcCode.OK, messages: ["fine"] });
});

test("GOAWAY refuses the calls past its last one and lets the others end", async () => {
  const streams: ServerHttp2Stream[] = [];
  const both = deferred<void>();
  answer = (stream) => {
    stream.respond(grpc, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    if (streams.push(stream) === 2) both.resolve();
  };
  const goaway = deferred<void>();
  session.onGoaway(() => goaway.resolve());
  const first = session.open("/x");
  const second = session.open("/x");
  const results = [collect(first), collect(second)] as const;
  await both.promise;
  streams[0]?.session?.goaway(0, streams[0].id);
  await goaway.promise;
  expect(session.usable).toBe(false);
  expect((await results[1]).code).toBe(GrpcCode.UNAVAILABLE);
  streams[0]?.end(frame("to the end"));
  expect(await results[0]).toMatchObject({ code: GrpcCode.OK, messages: ["to the end"] });
});

test("GOAWAY with an error ends every call", async () => {
  answer = (stream) => stream.session?.goaway(11, 0, Buffer.from("too_many_pings"));
  expect(await collect(session.open("/x"))).toMatchObject({
    code: GrpcCode.UNAVAILABLE,
    message: expect.stringMatching(/too_many_pings/),
  });
});

test("metadata that cannot be sent is refused before it leaves", () => {
  for (const [key, value] of [
    ["authorization", "Bearer x\n"],
    ["plain", "naïve"],
    ["Upper", "x"],
    ["grpc-status", "0"],
    [":path", "/"],
  ] as const) {
    const metadata = new Map([[key, [value]]]);
    expect(() => session.open("/x", { metadata }), key).toThrow(expect.objectContaining({ code: GrpcCode.INTERNAL }));
  }
});

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { GrpcServer, type GrpcServerOptions } from "../../../shared/grpc/server.ts";
import { GrpcCode, type GrpcStatus, grpcCodeName } from "../../../shared/grpc/status.ts";
import type { GrpcServerCall, GrpcServerSession } from "../../../shared/grpc/stream.ts";
import { deps, type Listening, listenTcp } from "./hawser-peer.ts";
import { type Deferred, deferred } from "./peers.ts";
import { frame } from "./raw.ts";

/** The server against a client that is nothing but HTTP/2, for what a gRPC library would not send. */

let server: GrpcServer;
let listening: Listening;
let client: ClientHttp2Session;
let accepted: Deferred<GrpcServerSession>;

/** Echoes; ends with the client. `Hold` only keeps its calls. */
const held: GrpcServerCall[] = [];
const handlers: GrpcServerOptions["handlers"] = new Map([
  [
    "/test.Test/Echo",
    (call: GrpcServerCall) =>
      call.start({
        onMessage: (message) => void call.send(message),
        onEnd: () => call.finish({ code: GrpcCode.OK, message: "" }),
        onClose() {},
      }),
  ],
  ["/test.Test/Hold", (call: GrpcServerCall) => void held.push(call)],
]);

async function start(options: Partial<GrpcServerOptions> = {}): Promise<void> {
  accepted = deferred();
  server = new GrpcServer(deps, { handlers, role: "frontends", ...options });
  listening = await listenTcp((socket) => accepted.resolve(server.accept(socket)));
  client = connectHttp2("http://localhost", {
    createConnection: () => connect(listening.port, "127.0.0.1"),
    maxSendHeaderBlockLength: 1_000_000,
  });
  client.on("error", () => {});
}

beforeEach(() => start());
afterEach(() => stop());

async function stop(): Promise<void> {
  client.destroy();
  server.abort("the test is over");
  await listening.close();
  held.splice(0);
}

interface Answer {
  readonly headers: IncomingHttpHeaders | undefined;
  readonly status: string | undefined;
  readonly body: Buffer;
  readonly rstCode: number;
}

function request(headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
  return client.request(
    {
      ":method": "POST",
      ":path": "/test.Test/Echo",
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    },
    { endStream: false },
  );
}

function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders | undefined;
    let trailers: IncomingHttpHeaders | undefined;
    const body: Buffer[] = [];
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (chunk: Buffer) => body.push(chunk));
    stream.on("error", () => {});
    stream.on("close", () => {
      const status = (trailers ?? headers)?.["grpc-status"]?.toString();
      resolve({ headers, status, body: Buffer.concat(body), rstCode: stream.rstCode ?? 0 });
    });
  });
}

async function echoWorks(): Promise<void> {
  const stream = request();
  stream.end(frame("neighbour"));
  expect(await answerOf(stream)).toMatchObject({ status: "0", body: frame("neighbour") });
}

/** Resolves when HTTP/2 has handed the bytes to the socket, so that the next ones lie in a frame of their own. */
const write = (stream: ClientHttp2Stream, bytes: Buffer): Promise<void> =>
  new Promise((resolve) => stream.write(bytes, () => setImmediate(resolve)));

describe("messages cut apart", () => {
  const bytes = Buffer.concat([frame("one"), frame(""), frame("three"), frame("x".repeat(40))]);

  test("at every boundary", async () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      const stream = request();
      const answer = answerOf(stream);
      await write(stream, bytes.subarray(0, cut));
      stream.end(bytes.subarray(cut));
      expect(await answer, `cut at ${cut}`).toMatchObject({ status: "0", body: bytes });
    }
  });

  test("byte by byte", async () => {
    const stream = request();
    const answer = answerOf(stream);
    for (const byte of bytes) await write(stream, Buffer.of(byte));
    stream.end();
    expect(await answer).toMatchObject({ status: "0", body: bytes });
  });

  test.each([1, 5, 7])("an end after %i bytes of a message is an error", async (length) => {
    const stream = request();
    stream.end(frame("three").subarray(0, length));
    expect((await answerOf(stream)).status).toBe("13");
  });
});

describe("refused, that call alone", () => {
  test.each<[string, Buffer, string]>([
    ["a compressed message", Buffer.from("0100000001ff", "hex"), "12"],
    ["unknown flags", Buffer.from("8000000001ff", "hex"), "13"],
    ["a message of 4 GiB", Buffer.from("00ffffffff", "hex"), "8"],
  ])("%s", async (_name, bytes, status) => {
    const stream = request();
    stream.write(bytes);
    expect((await answerOf(stream)).status).toBe(status);
    await echoWorks();
  });

  test.each<[string, OutgoingHttpHeaders, { http: number; status?: string }]>([
    ["another content type", { "content-type": "application/json" }, { http: 415 }],
    ["no content type", { "content-type": "" }, { http: 415 }],
    ["another method", { ":method": "PUT" }, { http: 405 }],
    ["an unknown path", { ":path": "/test.Test/Nothing" }, { http: 200, status: "12" }],
    ["a malformed timeout", { "grpc-timeout": "12 parsecs" }, { http: 200, status: "13" }],
    ["metadata that is not base64", { "some-bin": "*" }, { http: 200, status: "13" }],
  ])("%s", async (_name, headers, { http, status }) => {
    const stream = request(headers);
    stream.write(frame("ignored"));
    const answer = await answerOf(stream);
    expect(answer.headers?.[":status"]).toBe(http);
    expect(answer.status).toBe(status);
    await echoWorks();
  });

  test("too many header fields", async () => {
    const many = Object.fromEntries(Array.from({ length: 130 }, (_, index) => [`field-${index}`, "x"]));
    const answer = await answerOf(request(many));
    expect(answer.headers).toBeUndefined();
    expect(answer.rstCode).toBe(11);
    await echoWorks();
  });

  test("too many bytes of headers", async () => {
    await echoWorks();
    const large = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`field-${index}`, "x".repeat(4_000)]));
    const answer = await answerOf(request(large));
    expect(answer.headers).toBeUndefined();
    expect(answer.rstCode).toBe(11);
    await echoWorks();
  });

  test("a raw socket path as authority, while a percent-encoded one is taken", async () => {
    const encoded = request({ ":authority": "%2Fetc%2Fkubernetes%2Fkonnectivity.socket" });
    encoded.end(frame("x"));
    expect((await answerOf(encoded)).status).toBe("0");
    const raw = await answerOf(request({ ":authority": "/etc/kubernetes/konnectivity.socket" }));
    expect(raw).toMatchObject({ headers: undefined, rstCode: 1 });
    await echoWorks();
  });
});

test.each([
  ["between messages", Buffer.alloc(0), 8],
  ["inside a message", frame("three").subarray(0, 7), 8],
  ["with NO_ERROR", Buffer.alloc(0), 0],
])("a reset %s is no half-close", async (_name, bytes, rstCode) => {
  const opened = deferred<void>();
  const events: string[] = [];
  const closed = deferred<void>();
  const receiver = {
    onMessage: () => opened.resolve(),
    onEnd: () => void events.push("end"),
    onClose({ code }: GrpcStatus) {
      events.push(grpcCodeName(code));
      closed.resolve();
    },
  };
  await stop();
  await start({ handlers: new Map([["/x", (call: GrpcServerCall) => call.start(receiver)]]) });
  const stream = request({ ":path": "/x" });
  stream.on("error", () => {});
  stream.write(frame("first"));
  await opened.promise;
  await write(stream, bytes);
  stream.close(rstCode);
  await closed.promise;
  expect(events).toEqual(["CANCELLED"]);
});

test("a reset with NO_ERROR ends a call also while a message to its client finds no room", async () => {
  const ended = deferred<GrpcStatus>();
  const serve = (call: GrpcServerCall) => {
    call.start({ onMessage: () => {}, onClose: ended.resolve });
    call.send(Buffer.alloc(1024 * 1024));
  };
  await stop();
  await start({ handlers: new Map([["/x", serve]]) });
  const path = { ":method": "POST", ":path": "/x", "content-type": "application/grpc", te: "trailers" };
  // With trailers to wait for, Node's end of a stream that it resets is not sent.
  const stream = client.request(path, { endStream: false, waitForTrailers: true });
  stream.on("error", () => {});
  stream.write(frame("first"));
  stream.once("readable", () => stream.close(0));
  expect(await ended.promise).toMatchObject({ code: GrpcCode.CANCELLED });
});

test("a deadline shorter than the call ends it", async () => {
  const answer = await answerOf(request({ ":path": "/test.Test/Hold", "grpc-timeout": "20m" }));
  expect(answer.status).toBe("4");
  expect(held[0]?.deadlineAt).toBeGreaterThan(Date.now() - 60_000);
});

test("an agent has four calls until it is allowed more", async () => {
  await stop();
  await start({ role: "agents" });
  // After the server's SETTINGS, so that the fifth waits at the client.
  await new Promise((resolve) => client.once("remoteSettings", resolve));
  const streams = Array.from({ length: 6 }, () => request());
  const answers = streams.map(answerOf);
  const responded = streams.map((stream) => new Promise((resolve) => stream.once("response", resolve)));
  for (const stream of streams) stream.write(frame("hello"));
  await Promise.all(responded.slice(0, 4));
  const session = await accepted.promise;
  expect(session.callCount).toBe(4);
  session.allowCalls(5);
  session.allowCalls(6);
  await Promise.all(responded);
  expect(session.callCount).toBe(6);
  for (const stream of streams) stream.end();
  for (const { status } of await Promise.all(answers)) expect(status).toBe("0");
});

test("after 500 resets the session drains, and no call on it fails", async () => {
  const goaways: number[] = [];
  client.on("goaway", (code) => goaways.push(code));
  const open = request();
  const answer = answerOf(open);
  let resets = 0;
  // As fast as it goes, 10 at a time, until the server asks us to leave.
  while (!client.closed) {
    const batch = Array.from({ length: 10 }, () => request({ ":path": "/test.Test/Hold" }));
    const closed = batch.map(answerOf);
    await new Promise((resolve) => client.ping(resolve));
    for (const stream of batch) stream.close(8);
    await Promise.all(closed);
    resets += batch.length;
  }
  expect(resets).toBeGreaterThanOrEqual(500);
  expect(resets).toBeLessThan(1_000);
  expect(goaways).toContain(0);
  open.end(frame("still here"));
  expect(await answer).toMatchObject({ status: "0", body: frame("still here") });
  expect(goaways.every((code) => code === 0)).toBe(true);
});

test("calls that were on their way when the session began to drain are refused as not begun", async () => {
  await echoWorks();
  const running = request();
  const answer = answerOf(running);
  running.write(frame("before"));
  await new Promise((resolve) => running.once("response", resolve));
  const session = await accepted.promise;
  session.drain();
  // Our end does not know of the GOAWAY yet. REFUSED_STREAM means that the call may be made elsewhere.
  const late = Array.from({ length: 50 }, () => answerOf(request()));
  for (const { rstCode } of await Promise.all(late)) expect(rstCode).toBe(7);
  running.end(frame("after"));
  expect(await answer).toMatchObject({ status: "0", body: Buffer.concat([frame("before"), frame("after")]) });
  await session.closed;
  expect(server.sessions.size).toBe(0);
});

test("bytes that were read to tell protocols apart are not lost", async () => {
  await stop();
  server = new GrpcServer(deps, { handlers, role: "frontends" });
  const first = deferred<string>();
  listening = await listenTcp((socket) => {
    socket.once("readable", () => {
      const bytes: Buffer = socket.read() ?? Buffer.alloc(0);
      first.resolve(bytes.toString("latin1"));
      socket.unshift(bytes);
      server.accept(socket);
    });
  });
  client = connectHttp2("http://localhost", { createConnection: () => connect(listening.port, "127.0.0.1") });
  await echoWorks();
  expect(await first.promise).toMatch(/^PRI \* HTTP\/2\.0\r\n/);
});

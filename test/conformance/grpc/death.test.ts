import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import type { Clock } from "../../../shared/clock.ts";
import { GrpcServer } from "../../../shared/grpc/server.ts";
import { GrpcCode, GrpcError } from "../../../shared/grpc/status.ts";
import type { GrpcServerCall, GrpcServerSession } from "../../../shared/grpc/stream.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { until } from "../../support/until.ts";
import { connectTcp, deps, listenTcp } from "./hawser-peer.ts";
import { deferred } from "./peers.ts";

/** Peers that go without a word: every call settles, every socket closes. */

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

interface Serving {
  readonly keepalive?: { readonly intervalMs: number; readonly timeoutMs: number };
  readonly clock?: Clock;
}

async function serve({ keepalive, clock = deps.clock }: Serving = {}) {
  const call = deferred<GrpcServerCall>();
  const session = deferred<GrpcServerSession>();
  const server = new GrpcServer(
    { ...deps, clock },
    {
      handlers: new Map([["/Hold", (opened: GrpcServerCall) => call.resolve(opened)]]),
      role: "frontends",
      ...(keepalive && { keepalive }),
    },
  );
  const listening = await listenTcp((socket) => session.resolve(server.accept(socket)));
  cleanUps.push(() => listening.close());
  cleanUps.push(() => server.abort("the test is over"));
  return { server, listening, call: call.promise, session: session.promise };
}

/** A client in a process of its own, without Hawser: one call, kept open. */
async function clientProcess(port: number): Promise<ChildProcess> {
  const script = `
    const stream = require("node:http2").connect("http://127.0.0.1:${port}").request(
      { ":method": "POST", ":path": "/Hold", "content-type": "application/grpc", te: "trailers" }, { endStream: false });
    stream.on("error", () => {});`;
  const child = spawn(process.execPath, ["-e", script], { stdio: "ignore" });
  cleanUps.push(async () => {
    const exited = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
    child.kill("SIGKILL");
    await exited;
  });
  return child;
}

test("a client process that is killed", async () => {
  const { server, listening, call, session } = await serve();
  const child = await clientProcess(listening.port);
  const opened = await call;
  child.kill("SIGKILL");
  expect(await opened.closed).toMatchObject({ code: GrpcCode.UNAVAILABLE });
  await (await session).closed;
  expect(server.sessions.size).toBe(0);
  expect(listening.sockets.size).toBe(0);
});

// Here the clock stands still while a process is waited for, which may begin, or answer, late on a busy machine.
const keepalive = { intervalMs: 20, timeoutMs: 200 };

test("a client process that stands still is given up by keepalive", async () => {
  const clock = new FakeClock();
  const { server, listening, call, session } = await serve({ keepalive, clock });
  const child = await clientProcess(listening.port);
  const opened = await call;
  child.kill("SIGSTOP");
  clock.advance(2 * keepalive.timeoutMs);
  expect(await opened.closed).toMatchObject({ code: GrpcCode.UNAVAILABLE, message: expect.stringMatching(/silent/) });
  await (await session).closed;
  expect(server.sessions.size).toBe(0);
  expect(listening.sockets.size).toBe(0);
});

test("keepalive leaves a quiet peer that answers alone", async () => {
  const clock = new FakeClock();
  const { listening, call, session } = await serve({ keepalive, clock });
  await clientProcess(listening.port);
  const opened = await call;
  const { socket } = await session;
  const answeredPingBytes = 17;
  for (let elapsedMs = 0; elapsedMs <= 2 * keepalive.timeoutMs; elapsedMs += 2 * keepalive.intervalMs) {
    const wanted = socket.bytesRead + answeredPingBytes;
    clock.advance(2 * keepalive.intervalMs);
    await until("an answer to a PING", () => socket.bytesRead >= wanted, { withinMs: 10_000 });
  }
  expect(opened.writable).toBe(true);
});

test.each(["server", "client"])("keepalive of the %s leaves a quiet peer alone after GOAWAY too", async (pinging) => {
  const keepalive = { intervalMs: 20, timeoutMs: 200 };
  const { listening, call, session } = await serve(pinging === "server" ? { keepalive } : {});
  const client = await connectTcp(listening.port, pinging === "client" ? { keepalive } : {});
  cleanUps.push(() => client.abort("the test is over"));
  const near = client.open("/Hold");
  const far = await call;
  const { socket } = await session;
  const told = new Promise<void>((resolve) => client.onGoaway(resolve));
  (await session).drain();
  await told;
  // What pings and what answers come with 9 bytes each; some 20 of them take more than the timeout.
  const before = socket.bytesRead;
  while (far.writable && socket.bytesRead < before + 20 * 9) await new Promise((resolve) => setImmediate(resolve));
  expect([near.writable, far.writable]).toEqual([true, true]);
});

test.each([true, false])("a server whose socket is destroyed (elastic: %s)", async (elastic) => {
  const { listening, call, session } = await serve();
  const client = await connectTcp(listening.port, { elastic });
  const near = client.open("/Hold");
  const far = await call;
  (await session).socket.destroy();
  expect(await near.closed).toMatchObject({ code: GrpcCode.UNAVAILABLE });
  expect(await far.closed).toMatchObject({ code: GrpcCode.UNAVAILABLE });
  await expect(near.headers).rejects.toBeInstanceOf(GrpcError);
  await client.closed;
  expect(client.usable).toBe(false);
  expect(() => client.open("/Hold")).toThrow(GrpcError);
});

test.each([true, false])("abort at the client settles its calls at once (elastic: %s)", async (elastic) => {
  const { listening, call } = await serve();
  const client = await connectTcp(listening.port, { elastic });
  const near = client.open("/Hold");
  const far = await call;
  client.abort("enough");
  client.abort("enough");
  expect(await near.closed).toEqual({ code: GrpcCode.UNAVAILABLE, message: "enough" });
  await far.closed;
  await client.closed;
});

test("close at the client waits for its calls", async () => {
  const { listening, call } = await serve();
  const client = await connectTcp(listening.port);
  const near = client.open("/Hold");
  const far = await call;
  const closed = client.close();
  expect(client.usable).toBe(false);
  far.finish({ code: GrpcCode.OK, message: "" });
  expect((await near.closed).code).toBe(GrpcCode.OK);
  await closed;
});

test("a signal cancels the call", async () => {
  const { listening, call } = await serve();
  const client = await connectTcp(listening.port);
  cleanUps.push(() => client.abort("the test is over"));
  const controller = new AbortController();
  const near = client.open("/Hold", { signal: controller.signal });
  const far = await call;
  controller.abort(new Error("changed my mind"));
  expect(await near.closed).toEqual({ code: GrpcCode.CANCELLED, message: "changed my mind" });
  expect((await far.closed).code).toBe(GrpcCode.CANCELLED);
});

test("connecting fails where nobody answers, somebody hangs up, or nobody listens", async () => {
  const deaf = await listenTcp((socket) => socket.resume());
  await expect(connectTcp(deaf.port, { connectTimeoutMs: 100 })).rejects.toMatchObject({
    code: GrpcCode.UNAVAILABLE,
    message: expect.stringMatching(/within 100 ms/),
  });
  const controller = new AbortController();
  const cancelled = connectTcp(deaf.port, { signal: controller.signal });
  controller.abort();
  await expect(cancelled).rejects.toMatchObject({ code: GrpcCode.CANCELLED });
  await deaf.close();

  const rude = await listenTcp((socket) => socket.destroy());
  await expect(connectTcp(rude.port)).rejects.toMatchObject({ code: GrpcCode.UNAVAILABLE });
  await rude.close();
  await expect(connectTcp(rude.port)).rejects.toMatchObject({
    code: GrpcCode.UNAVAILABLE,
    message: expect.stringMatching(/ECONNREFUSED/),
  });
});

import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { dialFrontend, type FrontendProtocol } from "../../cli/client/dial.ts";
import { systemClock } from "../../shared/clock.ts";
import { GrpcCode } from "../../shared/grpc/status.ts";
import { silentLog } from "../../shared/log.ts";

const target = "10.0.0.1:443";
const protocols: readonly FrontendProtocol[] = ["grpc", "connect"];

let folder: string;
let path: string;
let server: Server | undefined;
const sockets = new Set<Socket>();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hw-"));
  path = join(folder, "s");
});
afterEach(async () => {
  const stopped = server;
  server = undefined;
  if (stopped !== undefined) {
    const closed = new Promise((resolve) => stopped.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  }
  rmSync(folder, { recursive: true, force: true });
});

/** A frontend that does as it is told with each socket. */
async function frontend(behaviour: (socket: Socket) => void): Promise<void> {
  const listening = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
    behaviour(socket);
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(path, resolve));
}

function dial(
  protocol: FrontendProtocol,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
) {
  const { timeoutMs = 10_000, signal = new AbortController().signal } = options;
  const deps = { log: silentLog, clock: systemClock };
  return dialFrontend(deps, { protocol, frontend: { kind: "uds", path }, target, timeoutMs }, { signal });
}

/** Sends `answer` when the request has come. */
const answering = (answer: string) => (socket: Socket) => {
  socket.once("data", () => socket.end(answer));
};

describe.each(protocols)("%s", (protocol) => {
  test("a proxy that is not there", async () => {
    await expect(dial(protocol)).rejects.toThrow(/ENOENT/);
  });

  test("a proxy that does not answer", async () => {
    await frontend((socket) => socket.resume());
    await expect(dial(protocol, { timeoutMs: 50 })).rejects.toMatchObject({ code: "dial_timeout" });
  });

  test("a proxy that hangs up", async () => {
    await frontend((socket) => socket.destroy());
    const code = protocol === "grpc" ? GrpcCode.UNAVAILABLE : expect.stringMatching(/^(ECONNRESET|EPIPE)$/);
    await expect(dial(protocol)).rejects.toMatchObject({ code });
  });

  test("a caller who has given up, before and in the middle", async () => {
    const reason = new Error("enough");
    await expect(dial(protocol, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const cancel = new AbortController();
    await frontend((socket) => {
      socket.resume();
      cancel.abort(reason);
    });
    await expect(dial(protocol, { signal: cancel.signal })).rejects.toBe(reason);
  });
});

describe("CONNECT", () => {
  test("asks for the target and takes over the socket with what came behind the head", async () => {
    let request = "";
    await frontend((socket) => {
      socket.once("data", (head: Buffer) => {
        request = head.toString("latin1");
        socket.end("HTTP/1.1 200 Connection Established\r\n\r\nfirst words");
      });
    });
    const duplex = await dial("connect");
    expect(await text(duplex)).toBe("first words");
    expect(request).toMatch(/^CONNECT 10\.0\.0\.1:443 HTTP\/1\.1\r\nHost: 10\.0\.0\.1:443\r\n/);
    duplex.destroy();
  });

  test.each([
    ["403 Forbidden", "policy", "denied"],
    ["500 Internal Server Error", "currently no tunnels available: No agent available", "no_agent"],
    ["502 Bad Gateway", "dial tcp 10.0.0.1:443: connect: connection refused", "refused"],
    ["503 Service Unavailable", "full", "over_limit"],
    ["504 Gateway Timeout", "Backend dial timeout: late", "dial_timeout"],
  ])("%s is %s by its code and the proxy's words", async (status, body, code) => {
    await frontend(answering(`HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\n\r\n${body}\r\n`));
    await expect(dial("connect")).rejects.toMatchObject({ name: "ProxyError", code, message: `${status}: ${body}` });
  });

  test("a refusal without an end is cut", async () => {
    await frontend((socket) => socket.once("data", () => socket.write(`HTTP/1.1 502 No\r\n\r\n${"x".repeat(10_000)}`)));
    const { message } = await dial("connect").then(
      () => expect.unreachable(),
      (error: Error) => error,
    );
    expect(message).toMatch(/^502 No: x{1024}$/);
  });

  test("an answer that is not HTTP", async () => {
    await frontend(answering("SSH-2.0-OpenSSH_9.6\r\n"));
    await expect(dial("connect")).rejects.toMatchObject({ code: expect.stringMatching(/^HPE_/) });
  });
});

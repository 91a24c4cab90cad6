import { once } from "node:events";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openConnectTunnel } from "../../../shared/http/connect-tunnel.ts";
import { proxyFor } from "../../../shared/http/proxy-environment.ts";
import { ConnectProxy, established } from "../../support/connect-proxy.ts";
import { bannerEndpoint, echoEndpoint, refusingAddress } from "../../support/endpoints.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { turn } from "../../support/turn.ts";
import { until } from "../../support/until.ts";

const timeoutMs = 7_000;
let proxy: ConnectProxy;
let clock: FakeClock;
beforeEach(async () => {
  proxy = await ConnectProxy.start();
  clock = new FakeClock();
});
afterEach(() => proxy.stop());

function open(
  port = 1,
  options: { readonly url?: string; readonly host?: string; readonly signal?: AbortSignal } = {},
) {
  const { url = proxy.url, host = "target.test", signal } = options;
  const target = { host, port };
  const parsed = proxyFor({ httpsProxy: url, noProxy: "" }, target, { schemes: ["http"], defaultPort: 443 });
  if (parsed === undefined) throw new Error("no proxy");
  return openConnectTunnel(
    { clock },
    { proxy: parsed, target, userAgent: "test/1", timeoutMs, ...(signal && { signal }) },
  );
}

/** What the way fails with. Nothing may be left of it. */
async function failure(opening: Promise<Socket>): Promise<string> {
  const message = await opening.then(
    () => "it opened",
    (error: Error) => error.message,
  );
  expect(clock.pending).toBe(0);
  await until("the proxy's socket to close", () => proxy.openCount === 0, { withinMs: 5_000 });
  return message;
}

const passwordUrl = () => proxy.url.replace("http://", "http://us%40er:pass%20word@");

describe("a way through a proxy", () => {
  it("carries bytes both ways", async () => {
    const echo = await echoEndpoint();
    const socket = await open(echo.port);
    expect(clock.pending).toBe(0);
    socket.write("there and back");
    expect(String(await once(socket, "data"))).toBe("there and back");
    socket.destroy();
    const [request] = proxy.requests;
    expect(request?.target).toBe(`target.test:${echo.port}`);
    expect(Object.fromEntries(request?.headers ?? [])).toEqual({
      host: `target.test:${echo.port}`,
      "user-agent": "test/1",
    });
    await echo.close();
  });

  it("asks for an IPv6 address in brackets, and shows user and password", async () => {
    proxy.script = ({ socket }) => socket.end(established);
    (await open(8091, { url: passwordUrl(), host: "2001:db8::7" })).destroy();
    const [request] = proxy.requests;
    expect(request?.target).toBe("[2001:db8::7]:8091");
    const credentials = Buffer.from("us@er:pass word").toString("base64");
    expect(request?.headers.get("proxy-authorization")).toBe(`Basic ${credentials}`);
  });

  it.each([
    ["in one piece", established, 0],
    ["byte by byte", established, 1],
    ["with a body's length, which counts for nothing", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 0],
    ["with chunks announced, which count for nothing", "HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\n\r\n", 0],
  ])("gives every byte behind the answer, if that comes %s", async (_how, head, pieceBytes) => {
    const banner = Buffer.from("first bytes\r\n\r\nHTTP/1.1 403 not a head");
    proxy.script = ({ socket }) => {
      socket.setNoDelay(true);
      const all = Buffer.concat([Buffer.from(head), banner]);
      if (pieceBytes === 0) return socket.end(all);
      for (const byte of all) socket.write(Buffer.of(byte));
      return socket.end();
    };
    expect(await text(await open())).toBe(banner.toString());
  });

  it("gives what an endpoint says first", async () => {
    const endpoint = await bannerEndpoint(Buffer.from("hello"));
    const socket = await open(endpoint.port);
    expect(String(await once(socket, "data"))).toBe("hello");
    socket.destroy();
    await endpoint.close();
  });
});

describe("a proxy that does not open the way is named with what it did, without user and password", () => {
  const answers = (head: string) => {
    proxy.script = ({ socket }) => socket.end(head);
    return failure(open(8091, { url: passwordUrl() }));
  };

  it("a refusal", async () => {
    expect(await answers("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nwhy")).toBe(
      `proxy ${proxy.url}: answered CONNECT target.test:8091 with 502 Bad Gateway`,
    );
    expect(await answers("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")).toBe(
      `proxy ${proxy.url}: answered CONNECT target.test:8091 with 407 Proxy Authentication Required: ` +
        "is there the right user and password in HTTPS_PROXY?",
    );
    expect(await answers("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")).toContain("with 100 Continue");
  });

  it("a close without an answer, or within it", async () => {
    expect(await answers("")).toBe(`proxy ${proxy.url}: socket hang up`);
    expect(await answers("HTTP/1.1 200 OK\r\nVia: x")).toMatch(`proxy ${proxy.url}: `);
  });

  it("what is not HTTP", async () => {
    expect(await answers("SSH-2.0-OpenSSH_9.6\r\n")).toBe(
      `proxy ${proxy.url}: Parse Error: Expected HTTP/, RTSP/ or ICE/`,
    );
  });

  it("a head without end", async () => {
    const header = `X-Filler: ${"x".repeat(1000)}\r\n`;
    expect(await answers(`HTTP/1.1 200 OK\r\n${header.repeat(17)}\r\n`)).toMatch(
      `proxy ${proxy.url}: Parse Error: Header overflow`,
    );
    proxy.script = ({ socket }) => socket.end(`HTTP/1.1 200 OK\r\n${header.repeat(15)}\r\n`);
    (await open()).destroy();
  });

  it("nothing that listens", async () => {
    const address = await refusingAddress();
    expect(await failure(open(8091, { url: `http://u:secret@${address}` }))).toBe(
      `proxy http://${address}: connect ECONNREFUSED ${address}`,
    );
  });

  it("silence", async () => {
    const asked = new Promise<void>((resolve) => {
      proxy.script = () => resolve();
    });
    const opening = failure(open());
    await asked;
    clock.advance(timeoutMs - 1);
    await turn();
    expect(proxy.openCount).toBe(1);
    clock.advance(1);
    expect(await opening).toBe(`proxy ${proxy.url}: no answer to CONNECT target.test:1 within 7000 ms`);
  });
});

describe("who gives up", () => {
  it("while the proxy is silent, leaves nothing behind", async () => {
    const controller = new AbortController();
    proxy.script = () => controller.abort(new Error("changed my mind"));
    expect(await failure(open(1, { signal: controller.signal }))).toBe("changed my mind");
  });

  it("beforehand, does not connect", async () => {
    expect(await failure(open(1, { signal: AbortSignal.abort(new Error("never")) }))).toBe("never");
    expect(proxy.requests).toEqual([]);
  });
});

import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import { type HttpHandler, type HttpRoutes, startHttpListener } from "../../../../shared/http/listener.ts";
import { silentLog } from "../../../../shared/log.ts";

const routes: HttpRoutes = new Map<string, HttpHandler>([
  ["/ok", () => ({ status: 200, body: "ok" })],
  ["/echo", ({ query, host }) => ({ status: 203, body: `${query} ${host}`, headers: { "Content-Type": "x/y" } })],
  [
    "/broken",
    () => {
      throw new Error("secret");
    },
  ],
]);

async function start() {
  const options = { label: "--health-port", host: "127.0.0.1", port: 0, routes, log: silentLog };
  const listener = await startHttpListener(options);
  onTestFinished(() => listener.close());
  return listener;
}

/** Sends one request with a connection of its own. */
async function ask(port: number, path: string, method = "GET", body = "") {
  const sent = request({ host: "127.0.0.1", port, path, method, agent: false }).end(body);
  const [response] = await once(sent, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, body: Buffer.concat(chunks).toString(), headers: response.headers };
}

/** A raw connection and all that comes over it until the other end closes. */
async function raw(port: number, text: string): Promise<{ socket: Socket; received: Promise<string> }> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => {
    socket.destroy();
  });
  socket.on("error", () => {});
  await once(socket, "connect");
  let all = "";
  socket.on("data", (chunk) => {
    all += chunk;
  });
  const received = once(socket, "close").then(() => all);
  socket.write(text);
  return { socket, received };
}

describe("the plain HTTP listener", () => {
  it("answers beside more clients that say nothing than it keeps", async () => {
    const { address } = await start();
    const silent = [];
    for (let count = 0; count < 600; count++) silent.push(await raw(address.port, ""));
    expect(await ask(address.port, "/ok")).toMatchObject({ status: 200, body: "ok" });
    expect(await silent[0]?.received).toBe("");
    expect(silent.at(-1)?.socket.destroyed).toBe(false);
  });

  it.each(["GET", "POST", "PUT", "DELETE", "OPTIONS"])("answers %s", async (method) => {
    const { address } = await start();
    const answer = await ask(address.port, "/ok", method);
    expect(answer).toMatchObject({
      status: 200,
      body: "ok",
      headers: { "content-type": "text/plain; charset=utf-8", "content-length": "2" },
    });
  });

  it("answers HEAD without a body", async () => {
    const { address } = await start();
    expect(await ask(address.port, "/ok", "HEAD")).toMatchObject({ status: 200, body: "" });
  });

  it("gives handlers the query and the host, and sends what they say", async () => {
    const { address } = await start();
    expect(await ask(address.port, "/echo?a=1&b")).toMatchObject({
      status: 203,
      body: `a=1&b= 127.0.0.1:${address.port}`,
      headers: { "content-type": "x/y" },
    });
  });

  it("takes the form that is used towards a proxy", async () => {
    const { address } = await start();
    expect(await ask(address.port, "http://some.where:8/echo?a=1")).toMatchObject({ status: 203 });
  });

  it.each(["/", "/ok/", "/nothing?ok", "//ok", "*"])("answers %s as Go answers an unknown path", async (path) => {
    const { address } = await start();
    expect(await ask(address.port, path)).toMatchObject({
      status: 404,
      body: "404 page not found\n",
      headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
    });
  });

  it("keeps what a handler threw to itself", async () => {
    const { address } = await start();
    expect(await ask(address.port, "/broken")).toMatchObject({ status: 500, body: "internal error\n" });
  });

  it("does not read a body to its end", async () => {
    const { address } = await start();
    const { received } = await raw(
      address.port,
      "POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nabc",
    );
    const text = await received;
    expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(text).toMatch(/\r\nConnection: close\r\n/i);
  });

  it("refuses a head of more than 16 KiB", async () => {
    const { address } = await start();
    const { received } = await raw(address.port, `GET /ok HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`);
    expect(await received).toMatch(/^HTTP\/1.1 431 /);
  });

  it("names its flag and address if it cannot listen", async () => {
    const { address } = await start();
    const second = startHttpListener({ label: "--admin-port", ...address, routes, log: silentLog });
    await expect(second).rejects.toThrow(
      new UsageError(
        `--admin-port: cannot listen on 127.0.0.1:${address.port}: address already in use; stop what listens there or choose another port`,
      ),
    );
  });

  it("tells a handler that nobody waits for its answer any more", async () => {
    const left: (() => void)[] = [];
    const asked: (() => void)[] = [];
    const slow: HttpHandler = ({ signal }) => {
      signal.addEventListener("abort", () => left.shift()?.(), { once: true });
      asked.shift()?.();
      return new Promise(() => {});
    };
    const options = { label: "health", host: "127.0.0.1", port: 0, routes: new Map([["/slow", slow]]), log: silentLog };
    const listener = await startHttpListener(options);
    const happens = (list: (() => void)[]) => new Promise<void>((resolve) => list.push(resolve));
    for (const leave of [(socket: Socket) => socket.destroy(), () => listener.close()]) {
      const [isAsked, isLeft] = [happens(asked), happens(left)];
      const { socket } = await raw(listener.address.port, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
      await isAsked;
      await Promise.all([leave(socket), isLeft]);
    }
  });

  it("closes at once, whatever a client has left open, and may be closed twice", async () => {
    const listener = await start();
    const halfway = await raw(listener.address.port, "GET /ok HT");
    const idle = await raw(listener.address.port, "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(idle.socket, "data");
    await Promise.all([listener.close(), listener.close()]);
    await Promise.all([halfway.received, idle.received]);
    const late = connect(listener.address.port, "127.0.0.1");
    const [error] = await once(late, "error");
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
  });
});

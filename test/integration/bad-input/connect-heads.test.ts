import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Endpoint } from "../../support/endpoints.ts";
import { readAll, readBytes, readHead } from "../../support/frontend-client.ts";
import type { Scene } from "../../support/scene.ts";
import { useEcho, useScene } from "../../support/use-scene.ts";

let scene: Scene;
let echo: Endpoint;
useEcho((started) => {
  echo = started;
});
useScene({ frontend: { protocol: "connect", transport: "uds" } }, (started) => {
  scene = started;
});

async function answerTo(request: string | Buffer): Promise<string> {
  const socket = await scene.socket();
  socket.write(request);
  return readAll(socket);
}

test("a head of 1 MiB is refused with 431", async () => {
  const head = `CONNECT ${echo.address} HTTP/1.1\r\nX-Long: ${"x".repeat(1024 * 1024)}\r\n\r\n`;
  expect(await answerTo(head)).toMatch(/^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/);
  const page = await scene.tunnel.server.metrics();
  expect(page.sum("hawser_server_refused_total", { limit: "connect_head" })).toBeGreaterThan(0);
});

test("a head without end is refused as soon as it is too long", async () => {
  expect(await answerTo(`CONNECT ${echo.address} HTTP/1.1\r\n${"X: y\r\n".repeat(10_000)}`)).toMatch(
    /^HTTP\/1\.1 431 /,
  );
});

test("a target of 64 KiB is refused as a head that is too long, one of 2 KiB as a target", async () => {
  expect(await answerTo(`CONNECT ${"a".repeat(65_536)}:80 HTTP/1.1\r\n\r\n`)).toMatch(/^HTTP\/1\.1 4(14|31) /);
  const answer = await answerTo(`CONNECT ${"a".repeat(2_048)}:80 HTTP/1.1\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
  expect(answer).toContain("address");
});

test.each([
  ["a header without a colon", "CONNECT 127.0.0.1:1 HTTP/1.1\r\nbroken\r\n\r\n"],
  ["a bare line feed in a header", "CONNECT 127.0.0.1:1 HTTP/1.1\r\nA: b\rC: d\r\n\r\n"],
  ["a NUL in the target", "CONNECT 127.0.0.1:1\0 HTTP/1.1\r\n\r\n"],
  ["another protocol", "CONNECT 127.0.0.1:1 SPDY/3\r\n\r\n"],
])("%s is refused with 400", async (_what, head) => {
  expect(await answerTo(head)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
});

test.each([
  ["no-port", "dial tcp: address no-port: missing port in address"],
  ["127.0.0.1:99999", "dial tcp: address 127.0.0.1:99999: invalid port"],
  ["127.0.0.1:http", "dial tcp: address 127.0.0.1:http: invalid port"],
  ["::1:80", "dial tcp: address ::1:80: too many colons in address"],
  ["[::1", "dial tcp: address [::1: "],
])("the target %s is refused with 502", async (target, text) => {
  const [head, body = ""] = (await answerTo(`CONNECT ${target} HTTP/1.1\r\n\r\n`)).split("\r\n\r\n");
  expect(head).toBe("HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8");
  expect(body).toContain(text);
});

test("a client that leaves in the middle of a head leaves nothing behind", async () => {
  const socket = await scene.socket();
  socket.write("CONNECT 127.0.0");
  socket.destroy();
});

test("a head that comes a byte at a time is served, one that drips longer than 10 s is not", async () => {
  const patient = await scene.socket();
  for (const byte of `CONNECT ${echo.address} HTTP/1.1\r\n\r\n`) patient.write(byte);
  expect(await readHead(patient)).toBe("HTTP/1.1 200 Connection Established\r\n\r\n");
  patient.write("hello");
  expect((await readBytes(patient, 5)).toString()).toBe("hello");

  const dripping = await scene.socket();
  const startedAt = performance.now();
  const [answer] = await Promise.all([readAll(dripping), drip(dripping)]);
  expect(answer).not.toContain("200");
  expect(performance.now() - startedAt).toBeGreaterThan(9_000);
  expect(performance.now() - startedAt).toBeLessThan(15_000);
});

/** Sends a head a byte at a time, so slowly that it would take minutes, for as long as the socket takes it. */
async function drip(socket: Socket): Promise<void> {
  socket.write("CONNECT ");
  while (!socket.destroyed && !socket.readableEnded) {
    socket.write("a");
    await sleep(250);
  }
}

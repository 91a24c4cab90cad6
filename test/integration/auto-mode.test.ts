import type { Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { dialGrpc, readBytes, readHead } from "../support/frontend-client.ts";
import { RawSession } from "../support/raw-grpc.ts";
import { Scene } from "../support/scene.ts";

const modes = [
  { transport: "uds", alpn: [] },
  { transport: "tcp", alpn: [] },
  { transport: "tcp", alpn: ["h2"] },
  { transport: "tcp", alpn: ["http/1.1"] },
] as const;

let echo: Endpoint;
beforeAll(async () => {
  echo = await echoEndpoint();
});
afterAll(() => echo.close());

describe.each(["uds", "tcp"] as const)("--mode=auto over %s", (transport) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await Scene.start({ frontend: { protocol: "grpc", transport }, serverFlags: ["--mode=auto"] });
  });
  afterEach(() => scene.settle());
  afterAll(() => scene.stop());

  async function expectConnect(socket: Socket): Promise<void> {
    expect(await readHead(socket)).toBe("HTTP/1.1 200 Connection Established\r\n\r\n");
    socket.write("hello");
    expect((await readBytes(socket, 5)).toString()).toBe("hello");
  }

  async function expectGrpc(socket: Socket): Promise<void> {
    const session = new RawSession(socket);
    const connection = await dialGrpc(session, echo.address);
    connection.write("hello");
    expect((await readBytes(connection, 5)).toString()).toBe("hello");
    await session.close();
  }

  const here = modes.filter((mode) => mode.transport === transport);

  test.each(here.filter(({ alpn }) => !alpn.includes("http/1.1" as never)))("gRPC, ALPN $alpn", async ({ alpn }) => {
    await expectGrpc(await scene.socket({ alpn }));
  });

  test.each(here.filter(({ alpn }) => !alpn.includes("h2" as never)))("CONNECT, ALPN $alpn", async ({ alpn }) => {
    const socket = await scene.socket({ alpn });
    socket.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
    await expectConnect(socket);
  });

  test("CONNECT, a byte at a time", async () => {
    const socket = await scene.socket();
    for (const byte of `CONNECT ${echo.address} HTTP/1.1\r\n\r\n`) {
      socket.write(byte);
      await turn();
    }
    await expectConnect(socket);
  });

  test("HTTP/2, a byte at a time, is answered by SETTINGS", async () => {
    const socket = await scene.socket();
    const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for (const byte of Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), emptySettings])) {
      socket.write(Buffer.of(byte));
      await turn();
    }
    const frameHead = await readBytes(socket, 9);
    expect({ type: frameHead[3], stream: frameHead.readUInt32BE(5) }).toEqual({ type: 4, stream: 0 });
  });

  test("methods that begin like HTTP/2's preface are HTTP/1", async () => {
    for (const method of ["PUT", "POST", "PATCH", "PROPFIND"]) {
      const socket = await scene.socket();
      for (const byte of `${method} / HTTP/1.1\r\nHost: x\r\n\r\n`) {
        socket.write(byte);
        await turn();
      }
      expect(await readHead(socket)).toMatch(/^HTTP\/1\.1 405 Method Not Allowed\r\n/);
    }
  });

  test("a client that connects, says nothing or little, and leaves", async () => {
    for (const said of ["", "P", "PRI * HT", "C"]) {
      const socket = await scene.socket();
      socket.end(said);
      socket.resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }
  });
});

import { once } from "node:events";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { agentHandshakeLimits } from "../../../server/links/agent-listener.ts";
import { readAll } from "../../support/frontend-client.ts";
import type { FrontendKind } from "../../support/processes.ts";
import { agentSocket } from "../../support/raw-agent.ts";
import type { Scene } from "../../support/scene.ts";
import { seededBytes } from "../../support/seeded-bytes.ts";
import { until } from "../../support/until.ts";
import { useScene } from "../../support/use-scene.ts";
import { within } from "../../support/within.ts";

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** Bytes that are nothing, from a seed that stays the same. */
const randomBytes = (seed: number) => Buffer.concat([...seededBytes(seed, 100_000)]);

const inputs: readonly (readonly [string, string | Buffer])[] = [
  ...[1, 2, 3, 4].map((seed) => [`random bytes ${seed}`, randomBytes(seed)] as const),
  ["zeros", Buffer.alloc(100_000)],
  ["the HTTP/2 preface and random bytes", Buffer.concat([Buffer.from(http2Preface), randomBytes(5)])],
  [
    "the HTTP/2 preface and a frame that is too long",
    Buffer.concat([Buffer.from(http2Preface), Buffer.alloc(9, 0xff), randomBytes(6)]),
  ],
  ["a TLS hello inside", Buffer.from("16030100c8010000c40303", "hex")],
];

/** Writes `input` and half-closes; resolves to what came back when the other side has closed. */
async function answerTo(socket: Socket, input: string | Buffer): Promise<string> {
  socket.on("error", () => {});
  socket.end(input);
  return readAll(socket);
}

const kinds: readonly FrontendKind[] = [
  { protocol: "grpc", transport: "uds" },
  { protocol: "grpc", transport: "tcp" },
  { protocol: "connect", transport: "uds" },
  { protocol: "connect", transport: "tcp" },
];

describe.each(kinds)("frontend $protocol over $transport", (frontend) => {
  let scene: Scene;
  useScene({ frontend }, (started) => {
    scene = started;
  });

  test.each(inputs)("%s", async (_what, input) => {
    expect(await answerTo(await scene.socket(), input)).not.toContain("200");
  });

  test.runIf(frontend.protocol === "grpc")("an HTTP/1.1 request is not answered as one", async () => {
    const request = "CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n";
    expect(await answerTo(await scene.socket(), request)).not.toContain("HTTP/1.1");
  });

  test.runIf(frontend.protocol === "connect")("the HTTP/2 preface is answered with 400", async () => {
    expect(await answerTo(await scene.socket(), http2Preface)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  });

  test.runIf(frontend.transport === "tcp")("the same before any TLS", async () => {
    const { server } = scene.tunnel;
    if (server.frontend.transport !== "tcp") throw new Error("not over TCP");
    for (const [, input] of inputs) {
      const socket = connect(server.frontend.port, server.frontend.host);
      await once(socket, "connect");
      await answerTo(socket, input);
    }
  });
});

describe("agent port", () => {
  let scene: Scene;
  useScene({}, (started) => {
    scene = started;
  });

  test.each(inputs)("%s inside TLS", async (_what, input) => {
    await answerTo(await agentSocket(scene.tunnel), input);
  });

  test.each(inputs)("%s before any TLS", async (_what, input) => {
    const socket = connect(scene.tunnel.server.agentPort, "127.0.0.1");
    await once(socket, "connect");
    await answerTo(socket, input);
  });

  test("an HTTP/1.1 request is not answered as one", async () => {
    const socket = await agentSocket(scene.tunnel);
    expect(await answerTo(socket, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).not.toContain("HTTP/1.1");
  });

  const refused = async (limit: string) =>
    (await scene.tunnel.server.metrics()).sum("hawser_server_refused_total", { limit }) ?? 0;
  const closed = (socket: Socket) =>
    new Promise((resolve) =>
      socket
        .on("error", () => {})
        .resume()
        .once("close", resolve),
    );
  /** Its end may come at any moment from here on. */
  const silent = () => {
    const socket = connect(scene.tunnel.server.agentPort, "127.0.0.1");
    return { socket, end: closed(socket) };
  };

  test("who says nothing has 5 s for a handshake, and who says nothing after it 10 s to be an agent", async () => {
    const [handshakes, admissions] = [await refused("handshake_time"), await refused("admission_time")];
    const begun = performance.now();
    const ends = [silent().end, closed(await agentSocket(scene.tunnel))].map(async (end) => {
      await end;
      return performance.now() - begun;
    });
    const [withoutHandshake = 0, withoutStream = 0] = await within(14_000, "their ends", Promise.all(ends));
    expect([withoutHandshake > 4_000, withoutHandshake < 9_000, withoutStream > 9_000]).toEqual([true, true, true]);
    expect([await refused("handshake_time"), await refused("admission_time")]).toEqual([
      handshakes + 1,
      admissions + 1,
    ]);
  });

  test("who says nothing gives way to others of its address that want its place", async () => {
    const before = await refused("handshakes");
    const oldest = silent();
    const sockets = [oldest.socket];
    await once(oldest.socket, "connect");
    while (sockets.length < agentHandshakeLimits.perSourceMax) {
      const { socket } = silent();
      sockets.push(socket);
      await once(socket, "connect");
    }
    // By themselves they would go after 5 s.
    const agent = until("an agent to be linked", () => scene.rawAgent(), { withinMs: 4_000 });
    await within(4_000, "the end of the oldest", oldest.end);
    await agent;
    expect(await refused("handshakes")).toBeGreaterThan(before);
    for (const socket of sockets) socket.destroy();
  });

  test("who negotiates TLS anew is dropped at once, and nobody else notices", async () => {
    const socket = await agentSocket(scene.tunnel, { maxVersion: "TLSv1.2" });
    const end = closed(socket);
    socket.renegotiate({}, () => {});
    await within(3_000, "its end", end);
    await scene.rawAgent();
  });

  test("who ends TLS and not TCP is dropped at once", async () => {
    const tcp = connect(scene.tunnel.server.agentPort, "127.0.0.1");
    const end = once(
      tcp.on("error", () => {}),
      "close",
    );
    const wire = new Duplex({
      read() {},
      write: (chunk, _encoding, done) => tcp.write(chunk, done),
      final: (done) => done(),
    });
    tcp.on("data", (chunk) => wire.push(chunk));
    const tls = await agentSocket(scene.tunnel, { socket: wire });
    tls.on("error", () => {}).end();
    await within(3_000, "its end", end);
  });

  test("an agent with broken headers is refused with the contract's text, and the next one is linked", async () => {
    const session = await scene.agentSession();
    for (const [headers, text] of [
      [{}, "expected one agent ID in the context, got []"],
      [{ agentid: ["a", "b"] }, "expected one agent ID in the context, got [a b]"],
      [{ agentid: "a", agentidentifiers: ["host=x", "host=y"] }, "expected at most one set of agent identifiers"],
    ] as const) {
      const stream = session.open("/AgentService/Connect", headers as Record<string, string>);
      expect(await stream.rest()).toEqual([]);
      const { status, message } = await stream.ended;
      expect(status).toBe(2);
      expect(message).toContain(text);
    }
    await scene.rawAgent();
  });
});

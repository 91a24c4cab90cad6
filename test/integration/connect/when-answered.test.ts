import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { frontendSession, newRandom, proxyPath, readAll, readHead } from "../../support/frontend-client.ts";
import { rawAgentHost } from "../../support/raw-agent.ts";
import { Scene } from "../../support/scene.ts";

const noAgentWithinMs = 50;
/** The median of so many: a busy machine makes single ones late. */
const dials = 21;

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

describe("R-5.2: without an agent", () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await Scene.start({ agentCount: 0, serverFlags: ["--mode=auto"] });
  });
  afterEach(() => scene.settle());
  afterAll(() => scene.stop());

  test("a CONNECT dial is answered within 50 ms", async () => {
    const took: number[] = [];
    for (let dial = 0; dial < dials; dial++) {
      const socket = await scene.socket();
      took.push(
        await millisecondsOf(async () => {
          socket.write("CONNECT 127.0.0.1:80 HTTP/1.1\r\n\r\n");
          expect(await readAll(socket)).toContain("No agent available");
        }),
      );
    }
    expect(median(took)).toBeLessThan(noAgentWithinMs);
  });

  test("a gRPC dial is answered within 50 ms, its connection included", async () => {
    const took: number[] = [];
    for (let dial = 0; dial < dials; dial++) {
      took.push(
        await millisecondsOf(async () => {
          const session = await frontendSession(scene.tunnel);
          const stream = session.open(proxyPath);
          stream.send({ type: "DIAL_REQ", protocol: "tcp", address: "127.0.0.1:80", random: newRandom() });
          expect((await stream.next("DIAL_RSP")).error).toContain("No agent available");
          await session.close();
        }),
      );
    }
    expect(median(took)).toBeLessThan(noAgentWithinMs);
  });
});

test("R-5.2: a CONNECT client is told 200 only after the endpoint has connected", async () => {
  const scene = await Scene.start({ frontend: { protocol: "connect", transport: "uds" }, agentCount: 0 });
  try {
    const agent = await scene.rawAgent();
    const socket = await scene.socket();
    socket.write(`CONNECT ${rawAgentHost}:9 HTTP/1.1\r\n\r\n`);
    const { random } = await agent.stream.next("DIAL_REQ");
    // The server has done whatever it does on its own before it answers this.
    expect(await scene.tunnel.server.metric("pending_backend_dials")).toBe(1);
    expect(socket.readableLength).toBe(0);
    agent.stream.send({ type: "DIAL_RSP", random, error: "", connectId: 1n });
    expect(await readHead(socket)).toMatch(/^HTTP\/1\.1 200 /);
  } finally {
    await scene.settle();
    await scene.stop();
  }
});

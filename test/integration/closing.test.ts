import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { echoEndpoint, neverReadingEndpoint, serve } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { Scene } from "../support/scene.ts";
import { digestOfSeeded, seededBytes } from "../support/seeded-bytes.ts";
import { timeOf } from "../support/standstill.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";

let scene: Scene;

describe.each(["auto", "konnectivity"])("on a link of --link-protocol=%s", (linkProtocol) => {
  beforeAll(async () => {
    scene = await Scene.start({
      serverFlags: ["--mode=auto"],
      agentFlags: [`--link-protocol=${linkProtocol}`],
    });
  });
  afterEach(() => scene.settle());
  afterAll(() => scene.stop());

  describe.each(["grpc", "connect"] as const)("by %s", (protocol) => {
    test("what a client wrote before it closed reaches the endpoint to the last byte", async () => {
      const [seed, byteCount] = [7, 4 * 1024 * 1024];
      let resolveDigest: (digest: string) => void = () => {};
      const arrived = new Promise<string>((resolve) => {
        resolveDigest = resolve;
      });
      const endpoint = await scene.endpoint(
        serve(async (socket) => {
          const hash = createHash("sha256");
          for await (const chunk of socket) hash.update(chunk);
          resolveDigest(hash.digest("hex"));
        }),
      );
      const { duplex } = await scene.connection(endpoint.address, protocol);
      // The close follows at once, while most of it is still on its way.
      for (const chunk of seededBytes(seed, byteCount)) duplex.write(chunk);
      duplex.resume().end();
      expect(await within(10_000, "the endpoint's end", arrived)).toBe(digestOfSeeded(seed, byteCount));
    });

    test("what an endpoint wrote before it closed reaches the client, then the end", async () => {
      const endpoint = await scene.endpoint(serve(async (socket) => socket.end(Buffer.alloc(1_000_000, "x"))));
      const { duplex } = await scene.connection(endpoint.address, protocol);
      expect((await readBytes(duplex, 1_000_001)).length).toBe(1_000_000);
    });

    test("a client that closes what its endpoint does not read holds up nobody", async () => {
      const deaf = await scene.endpoint(neverReadingEndpoint());
      const echo = await scene.endpoint(echoEndpoint());
      const neighbour = (await scene.connection(echo.address, protocol)).duplex;
      const { duplex } = await scene.connection(deaf.address, protocol);
      // Less than a connection may queue at an agent.
      duplex.resume().write(Buffer.alloc(512 * 1024));
      duplex.end();
      neighbour.write("goes on");
      const echoed = readBytes(neighbour, 7);
      expect(await timeOf(echoed)).toBeLessThan(1_000);
      expect((await echoed).toString()).toBe("goes on");
    });
  });

  test("what a client wrote before it closed reaches an endpoint that takes its time", async () => {
    const [agent] = scene.tunnel.agents;
    if (agent === undefined) throw new Error("an agent is needed");
    const closes = () => agent.metric("stream_packets_total", { segment: "to_agent", packet_type: "CLOSE_REQ" });
    // More than the kernel takes for an endpoint that does not read, so that the last of it is in the agent's hands.
    const [seed, byteCount] = [8, 4.75 * 1024 * 1024];
    const events = new EventEmitter();
    const mayRead = once(events, "read");
    const digested = once(events, "digest") as Promise<[string]>;
    const endpoint = await scene.endpoint(
      serve(async (socket) => {
        await mayRead;
        const hash = createHash("sha256");
        for await (const chunk of socket) hash.update(chunk);
        events.emit("digest", hash.digest("hex"));
      }),
    );
    const before = await closes();
    const connection = await scene.dialGrpc(endpoint.address);
    for (const chunk of seededBytes(seed, byteCount)) connection.write(chunk);
    connection.resume().end();
    // Where the kernel takes less, the close waits behind the bytes, and there is nothing to see before the endpoint reads.
    await until("the close at the agent", async () => (await closes()) > before, { withinMs: 1_000 }).catch(() => {});
    events.emit("read");
    const [digest] = await within(10_000, "the endpoint's end", digested);
    expect(digest).toBe(digestOfSeeded(seed, byteCount));
  });

  test("a message is read in whatever pieces its reader asks for", async () => {
    const echo = await scene.endpoint(echoEndpoint());
    const connection = await scene.dialGrpc(echo.address);
    connection.write("25 bytes in three readings");
    expect((await readBytes(connection, 10)).toString()).toBe("25 bytes i");
    expect((await readBytes(connection, 10)).toString()).toBe("n three re");
    expect((await readBytes(connection, 6)).toString()).toBe("adings");
    connection.write("and one");
    expect((await readBytes(connection, 7)).toString()).toBe("and one");
  });
});

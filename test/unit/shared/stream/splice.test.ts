import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import { type ErrorCode, ProxyError } from "../../../../shared/errors.ts";
import { type CloseReport, type SpliceOptions, splice } from "../../../../shared/stream/splice.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { type MemoryDuplex, memoryPair, receive } from "../../../support/memory-duplex.ts";
import { turn } from "../../../support/turn.ts";

const halfCloseTimeoutMs = 60_000;

interface Setup extends Partial<SpliceOptions> {
  readonly frontendHalfClose?: boolean;
  readonly endpointHalfClose?: boolean;
  readonly highWaterMark?: number;
  /** Runs when both ends are there and nothing joins them yet. */
  readonly before?: (ends: { frontend: MemoryDuplex; endpoint: MemoryDuplex; client: MemoryDuplex }) => void;
}

/** `client` and `target` are what the two spliced ends are connected to. */
function spliced({
  frontendHalfClose = true,
  endpointHalfClose = true,
  highWaterMark,
  before,
  ...options
}: Setup = {}) {
  const clock = new FakeClock();
  const size = highWaterMark === undefined ? {} : { highWaterMark };
  const [client, frontend] = memoryPair(size);
  const [target, endpoint] = memoryPair(size);
  before?.({ frontend, endpoint, client });
  const seen: { report?: CloseReport } = {};
  const done = splice(
    { duplex: frontend, halfClose: frontendHalfClose },
    { duplex: endpoint, halfClose: endpointHalfClose },
    { clock },
    { half: "server", halfCloseTimeoutMs, ...options },
  ).then((report) => {
    seen.report = report;
    return report;
  });
  return { clock, client, frontend, target, endpoint, done, seen };
}

describe("both ends know half-closes", () => {
  it.each(["frontend first", "endpoint first"])("passes each FIN on by itself, %s", async (order) => {
    const { client, target, done, clock } = spliced();
    const [first, last] = order === "frontend first" ? [client, target] : [target, client];
    const atFirst = receive(first);
    const atLast = receive(last);
    first.end("question");
    await turn();
    expect(atLast.bytes.toString()).toBe("question");
    expect(atLast.ended).toBe(true);
    expect(atFirst.ended).toBe(false);
    last.end("a longer answer");
    const report = await done;
    expect(atFirst.bytes.toString()).toBe("a longer answer");
    expect(report).toEqual({
      by: order === "frontend first" ? "frontend" : "endpoint",
      code: "ok",
      bytesToEndpoint: order === "frontend first" ? 8 : 15,
      bytesToFrontend: order === "frontend first" ? 15 : 8,
    });
    expect(clock.pending).toBe(0);
  });

  it("ends a half-closed connection that is silent for too long, and counts from the last byte", async () => {
    const { client, target, clock, done, seen } = spliced();
    receive(client);
    client.end();
    await turn();
    clock.advance(halfCloseTimeoutMs - 1);
    target.write("late");
    await turn();
    clock.advance(halfCloseTimeoutMs - 1);
    await turn();
    expect(seen.report).toBeUndefined();
    clock.advance(1);
    expect(await done).toEqual({ by: "server", code: "idle", bytesToEndpoint: 0, bytesToFrontend: 4 });
    expect(client.failure?.code).toBe("ECONNRESET");
    expect(target.failure?.code).toBe("ECONNRESET");
    expect(clock.pending).toBe(0);
  });

  it("names the half in which a silent connection was ended", async () => {
    const { client, target, clock, done } = spliced({ half: "agent" });
    receive(client);
    receive(target);
    client.end();
    await turn();
    clock.advance(halfCloseTimeoutMs);
    expect(await done).toMatchObject({ by: "agent", code: "idle" });
  });

  describe("with limits of its own (R-3.6)", () => {
    it("ends a connection that moved no byte either way, and none that moved one", async () => {
      const { client, target, clock, done, seen } = spliced({ idleTimeoutMs: 5_000 });
      receive(client);
      receive(target);
      for (const sender of [client, target]) {
        clock.advance(4_999);
        sender.write("alive");
        await turn();
      }
      clock.advance(4_999);
      await turn();
      expect(seen.report).toBeUndefined();
      clock.advance(1);
      expect(await done).toEqual({ by: "server", code: "idle", bytesToEndpoint: 5, bytesToFrontend: 5 });
      expect(clock.pending).toBe(0);
    });

    it("ends a connection at its age, however busy it is", async () => {
      const { client, target, clock, done, seen } = spliced({ idleTimeoutMs: 5_000, lifetimeMs: 6_000 });
      receive(client);
      receive(target);
      for (let second = 1; second < 6; second++) {
        clock.advance(1_000);
        client.write("busy");
        await turn();
      }
      expect(seen.report).toBeUndefined();
      clock.advance(1_000);
      expect(await done).toMatchObject({ by: "server", code: "expired" });
      expect(clock.pending).toBe(0);
    });

    it("has none by default", async () => {
      const { client, target, clock, done } = spliced();
      receive(client);
      receive(target);
      expect(clock.pending).toBe(0);
      client.end();
      target.end();
      expect(await done).toMatchObject({ code: "ok" });
    });
  });

  it("notices a FIN that came before it began", async () => {
    const [client, frontend] = memoryPair();
    const [target, endpoint] = memoryPair();
    const atTarget = receive(target);
    client.end();
    await turn();
    expect(frontend.readableEnded).toBe(true);
    const done = splice(
      { duplex: frontend, halfClose: true },
      { duplex: endpoint, halfClose: true },
      { clock: new FakeClock() },
      { half: "server", halfCloseTimeoutMs },
    );
    await turn();
    expect(atTarget.ended).toBe(true);
    receive(client);
    target.end();
    expect(await done).toMatchObject({ by: "frontend", code: "ok" });
  });
});

describe("backpressure", () => {
  it.each(["to the endpoint", "to the frontend"])("stops reading when the other end takes no more, %s", async (way) => {
    const { client, frontend, target, endpoint } = spliced({ highWaterMark: 1024 });
    const [sender, from, to, reader] =
      way === "to the endpoint" ? [client, frontend, endpoint, target] : [target, endpoint, frontend, client];
    const total = 64 * 1024;
    for (let sent = 0; sent < total; sent += 512) sender.write(Buffer.alloc(512));
    await turn();
    expect(from.isPaused()).toBe(true);
    expect(from.readableLength + to.readableLength + to.writableLength + reader.readableLength).toBeLessThan(8 * 1024);
    const got = receive(reader);
    await turn();
    expect(got.bytes.length).toBe(total);
  });

  it("tells how long the frontend could take no more", async () => {
    const waits: number[] = [];
    const { client, target, clock } = spliced({ highWaterMark: 16, onFrontendWrite: (ms) => waits.push(ms) });
    target.write("small");
    await turn();
    expect(waits).toEqual([0]);
    target.write(Buffer.alloc(64));
    await turn();
    expect(waits).toEqual([0]);
    clock.advance(40);
    receive(client);
    await turn();
    expect(waits).toEqual([0, 40]);
  });
});

describe("a full close", () => {
  it("of the frontend flushes what is on its way and drops what comes back", async () => {
    const { client, target, clock, done } = spliced({ frontendHalfClose: false, highWaterMark: 16 });
    const upload = Buffer.alloc(1000, "u");
    client.end(upload);
    const atClient = receive(client);
    await turn();
    const atTarget = receive(target);
    await turn();
    expect(atTarget.bytes.equals(upload)).toBe(true);
    expect(atTarget.ended).toBe(true);
    target.end("nobody reads this");
    expect(await done).toEqual({ by: "frontend", code: "ok", bytesToEndpoint: 1000, bytesToFrontend: 0 });
    expect(atClient.bytes.length).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("of the endpoint's link delivers the last bytes first", async () => {
    const { client, target, done } = spliced({ endpointHalfClose: false, highWaterMark: 16 });
    target.end(Buffer.alloc(1000, "d"));
    await turn();
    const atClient = receive(client);
    await turn();
    expect(atClient.bytes.length).toBe(1000);
    expect(atClient.ended).toBe(true);
    client.end();
    receive(target);
    expect(await done).toEqual({ by: "endpoint", code: "ok", bytesToEndpoint: 0, bytesToFrontend: 1000 });
  });

  it("lingers for two seconds for an end that does not close, then lets go", async () => {
    const { client, target, clock, done, seen } = spliced({ frontendHalfClose: false });
    receive(target);
    receive(client);
    client.end();
    await turn();
    clock.advance(1_999);
    await turn();
    expect(seen.report).toBeUndefined();
    clock.advance(1);
    expect(await done).toMatchObject({ by: "frontend", code: "ok" });
    expect(clock.pending).toBe(0);
  });

  it("lingers for 256 KiB, then lets go", async () => {
    const { client, target, done, clock } = spliced({ frontendHalfClose: false });
    receive(target);
    receive(client);
    client.end();
    await turn();
    for (let sent = 0; sent <= 256 * 1024; sent += 64 * 1024) target.write(Buffer.alloc(64 * 1024));
    await turn();
    expect(await done).toMatchObject({ by: "frontend", code: "ok", bytesToFrontend: 0 });
    expect(clock.pending).toBe(0);
  });

  it("does not cut what is on its way because the other end talks much", async () => {
    const { client, target, done } = spliced({ frontendHalfClose: false, highWaterMark: 1024 });
    const upload = Buffer.alloc(8 * 1024, "u");
    client.end(upload);
    receive(client);
    await turn();
    target.write(Buffer.alloc(300 * 1024));
    await turn();
    const atTarget = receive(target);
    target.end();
    await done;
    expect(atTarget.bytes.length).toBe(upload.length);
    expect(atTarget.ended).toBe(true);
  });

  it.each([true, false])(
    "has a limit for an end that closed and takes no more (half-closes behind it: %s)",
    async (endpointHalfClose) => {
      const setup = { frontendHalfClose: false, endpointHalfClose, highWaterMark: 16 };
      const { client, frontend, target, clock, done, seen } = spliced(setup);
      target.write(Buffer.alloc(100));
      await turn();
      expect(frontend.writableLength).toBeGreaterThan(0);
      client.end();
      const atTarget = receive(target);
      await turn();
      target.end();
      await turn();
      expect(atTarget.ended).toBe(true);
      expect(seen.report).toBeUndefined();
      clock.advance(halfCloseTimeoutMs);
      expect(await done).toMatchObject({ by: "frontend", code: "ok" });
      expect(clock.pending).toBe(0);
    },
  );
});

describe("a half-close towards an end that knows only a full close", () => {
  const grace = { endpointHalfClose: false, frontendFinGraceMs: 2_000 };

  it("waits until the endpoint was silent for the grace", async () => {
    const { client, target, clock, done, seen } = spliced(grace);
    const atClient = receive(client);
    const atTarget = receive(target);
    client.end("request");
    await turn();
    clock.advance(1_500);
    target.write("answer, ");
    await turn();
    clock.advance(1_500);
    target.write("second part");
    await turn();
    clock.advance(1_999);
    await turn();
    expect(seen.report).toBeUndefined();
    expect(atTarget.ended).toBe(false);
    clock.advance(1);
    expect(await done).toEqual({ by: "frontend", code: "ok", bytesToEndpoint: 7, bytesToFrontend: 19 });
    expect(atClient.bytes.toString()).toBe("answer, second part");
    expect(atClient.ended).toBe(true);
    expect(atTarget.ended).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it("ends at once when the endpoint closes within the grace", async () => {
    const { client, target, clock, done } = spliced(grace);
    const atClient = receive(client);
    receive(target);
    client.end();
    await turn();
    target.end("bye");
    expect(await done).toMatchObject({ by: "endpoint", code: "ok", bytesToFrontend: 3 });
    expect(atClient.bytes.toString()).toBe("bye");
    expect(clock.pending).toBe(0);
  });

  it("does not wait for ever for a frontend that has half-closed and reads nothing", async () => {
    const { client, target, clock, done, seen } = spliced({ ...grace, highWaterMark: 16 });
    receive(target);
    target.write(Buffer.alloc(100));
    await turn();
    client.end();
    await turn();
    clock.advance(2_000);
    await turn();
    expect(seen.report).toBeUndefined();
    clock.advance(halfCloseTimeoutMs);
    expect(await done).toMatchObject({ by: "frontend", code: "ok" });
    expect(clock.pending).toBe(0);
  });
});

describe("endpoint bytes held back", () => {
  it("wait for the frontend's first byte", async () => {
    const { client, target } = spliced({ holdEndpointMs: 10 });
    const atClient = receive(client);
    const atTarget = receive(target);
    target.write("banner");
    await turn();
    expect(atClient.bytes.length).toBe(0);
    client.write("hello");
    await turn();
    expect(atTarget.bytes.toString()).toBe("hello");
    expect(atClient.bytes.toString()).toBe("banner");
  });

  it("wait no longer than they are told to", async () => {
    const { client, target, clock } = spliced({ holdEndpointMs: 10 });
    const atClient = receive(client);
    target.write("banner");
    await turn();
    clock.advance(9);
    await turn();
    expect(atClient.bytes.length).toBe(0);
    clock.advance(1);
    await turn();
    expect(atClient.bytes.toString()).toBe("banner");
  });

  it("wait once more while the clock itself comes late, but not for ever", async () => {
    const { client, target, clock } = spliced({ holdEndpointMs: 10 });
    const atClient = receive(client);
    target.write("banner");
    await turn();
    for (let late = 1; late <= 4; late++) {
      clock.stall(25);
      await turn();
      expect(atClient.bytes.length).toBe(0);
    }
    clock.stall(25);
    await turn();
    expect(atClient.bytes.toString()).toBe("banner");
  });

  it("are not lost when the endpoint closes meanwhile", async () => {
    const { client, target, clock, done } = spliced({ holdEndpointMs: 10, endpointHalfClose: false });
    const atClient = receive(client);
    receive(target);
    target.end("one line and good-bye");
    await turn();
    expect(atClient.ended).toBe(false);
    clock.advance(10);
    await turn();
    expect(atClient.bytes.toString()).toBe("one line and good-bye");
    client.end();
    expect(await done).toMatchObject({ by: "endpoint", code: "ok", bytesToFrontend: 21 });
  });
});

describe("an end that breaks", () => {
  it.each([
    ["frontend", "cancelled"],
    ["endpoint", "cancelled"],
  ] as const)("resets the other: the %s was reset", async (who, code) => {
    const { client, target, done, clock } = spliced({ holdEndpointMs: 10 });
    const [broken, other] = who === "frontend" ? [client, target] : [target, client];
    broken.destroy(new Error("gone"));
    expect(await done).toEqual({ by: who, code, bytesToEndpoint: 0, bytesToFrontend: 0 });
    expect(other.failure?.code).toBe("ECONNRESET");
    expect(clock.pending).toBe(0);
  });

  it.each([
    ["server", "agent_lost", "agent"],
    ["server", "stalled", "server"],
    ["server", "shutdown", "server"],
    ["server", "cancelled", "endpoint"],
    ["agent", "agent_lost", "server"],
    ["agent", "stalled", "agent"],
    ["agent", "shutdown", "agent"],
    ["agent", "cancelled", "endpoint"],
  ] as const)("tells who and why by the half and the error's code: %s, %s", async (half, code: ErrorCode, by) => {
    const { endpoint, client, done } = spliced({ half });
    endpoint.destroy(new ProxyError(code, "why"));
    expect(await done).toMatchObject({ by, code });
    expect(client.failure?.code).toBe("ECONNRESET");
  });

  it("lets what was read before arrive, where the other end knows only a full close", async () => {
    const { client, target, endpoint, done } = spliced({ endpointHalfClose: false, highWaterMark: 16 });
    client.write(Buffer.alloc(20, "u"));
    await turn();
    expect(endpoint.writableLength).toBeGreaterThan(0);
    client.destroy(new Error("gone"));
    await turn();
    const atTarget = receive(target);
    expect(await done).toMatchObject({ by: "frontend", code: "cancelled" });
    await turn();
    expect(atTarget.bytes.length).toBe(20);
    expect(atTarget.ended).toBe(true);
    expect(target.failure).toBeUndefined();
  });

  it("is noticed though it broke before the splice began", async () => {
    const { target, done } = spliced({
      before: ({ frontend }) => frontend.destroy(new ProxyError("cancelled", "gone early")),
    });
    expect(await done).toMatchObject({ by: "frontend", code: "cancelled" });
    expect(target.failure?.code).toBe("ECONNRESET");
  });

  it("is noticed though its close was already over", async () => {
    const [, frontend] = memoryPair();
    const [, endpoint] = memoryPair();
    frontend.destroy();
    await turn();
    const report = await splice(
      { duplex: frontend, halfClose: true },
      { duplex: endpoint, halfClose: true },
      { clock: new FakeClock() },
      { half: "server", halfCloseTimeoutMs },
    );
    expect(report).toMatchObject({ by: "frontend", code: "cancelled" });
    expect(endpoint.destroyed).toBe(true);
  });

  it("makes one report when both break in the same turn", async () => {
    const { frontend, endpoint, done, clock } = spliced();
    endpoint.destroy(new ProxyError("agent_lost", "lost"));
    frontend.destroy(new Error("reset"));
    expect(await done).toEqual({ by: "agent", code: "agent_lost", bytesToEndpoint: 0, bytesToFrontend: 0 });
    expect(clock.pending).toBe(0);
  });

  it("keeps the first cause when the other end breaks during a close", async () => {
    const { client, target, done } = spliced({ frontendHalfClose: false });
    receive(client);
    client.end();
    await turn();
    target.destroy(new Error("reset"));
    expect(await done).toMatchObject({ by: "frontend", code: "ok" });
  });
});

it("tells each end who reads it", async () => {
  const readers: { frontend?: Duplex; endpoint?: Duplex } = {};
  const told = (end: keyof typeof readers) => (reader: Duplex) => {
    readers[end] = reader;
  };
  const [client, frontend] = memoryPair();
  const [target, endpoint] = memoryPair();
  const done = splice(
    { duplex: frontend, halfClose: true, readBy: told("frontend") },
    { duplex: endpoint, halfClose: true, readBy: told("endpoint") },
    { clock: new FakeClock() },
    { half: "server", halfCloseTimeoutMs },
  );
  expect(readers.frontend).toBe(endpoint);
  expect(readers.endpoint).toBe(frontend);
  receive(client);
  receive(target);
  client.end();
  target.end();
  await done;
});

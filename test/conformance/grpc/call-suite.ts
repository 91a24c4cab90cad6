import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  deferred,
  type Fields,
  type Handlers,
  type Implementation,
  pathOf,
  type TestClient,
  type TestServer,
  type TestServerCall,
} from "./peers.ts";

const limitBytes = 4 * 1024 * 1024;
const ok = { code: 0, message: "" };

/** What every pair of client and server has to do, whoever made them. */
export function callSuite(clientSide: Implementation, serverSide: Implementation): void {
  describe(`${clientSide.name} client, ${serverSide.name} server`, () => {
    let server: TestServer;
    let client: TestClient;
    /** The server's end of the last call to `Hold`, which does nothing by itself. */
    let held = deferred<TestServerCall>();

    const handlers: Handlers = {
      async Echo(call) {
        for (let message = await call.next(); message !== undefined; message = await call.next()) call.send(message);
        call.finish(ok);
      },
      Hold: (call) => held.resolve(call),
    };

    beforeAll(async () => {
      server = await serverSide.serve(handlers);
      client = await clientSide.connect(server.port);
    });
    afterAll(async () => {
      await client.close();
      await server.kill();
    });

    /** Opens a call to `Hold` and gives both its ends. */
    async function hold(options: Parameters<TestClient["open"]>[1] = {}) {
      held = deferred();
      const near = client.open(pathOf("Hold"), options);
      return { near, far: await held.promise };
    }

    async function echoWorks(): Promise<void> {
      const call = client.open(pathOf("Echo"));
      call.send(Buffer.from("neighbour"));
      expect((await call.next())?.toString()).toBe("neighbour");
      call.end();
      expect(await call.status).toMatchObject({ code: 0 });
    }

    describe.each(Array.from({ length: 17 }, (_, code) => code))("status %i", (code) => {
      const message = code === 0 ? "" : `№ ${code}: 100 % „früh“\n\u{1f6a2}`;

      test("without headers or messages", async () => {
        const { near, far } = await hold();
        far.finish({ code, message });
        expect(await near.status).toMatchObject(code === 0 ? { code } : { code, message });
        expect(await near.next()).toBeUndefined();
      });

      test("after messages", async () => {
        const { near, far } = await hold();
        far.send(Buffer.from("one"));
        far.send(Buffer.from("two"));
        far.finish({ code, message });
        expect(await near.status).toMatchObject(code === 0 ? { code } : { code, message });
        expect((await near.next())?.toString()).toBe("one");
        expect((await near.next())?.toString()).toBe("two");
        expect(await near.next()).toBeUndefined();
      });
    });

    test("messages from nothing to 4 MiB come back as they were", async () => {
      const sizes = [0, 1, 2, 1023, 1024, 1025, 16_379, 16_384, 65_535, 65_536, 1_000_003, limitBytes - 1, limitBytes];
      const call = client.open(pathOf("Echo"));
      for (const size of sizes) {
        const message = randomBytes(size);
        call.send(message);
        const back = await call.next();
        expect(back?.length).toBe(size);
        expect(sha256(back ?? Buffer.alloc(1))).toBe(sha256(message));
      }
      call.end();
      expect(await call.status).toMatchObject({ code: 0 });
    });

    test("many small messages of one turn keep their order and their edges", async () => {
      const call = client.open(pathOf("Echo"));
      for (let index = 0; index < 5_000; index++) call.send(Buffer.from(`message ${index}`));
      call.end();
      for (let index = 0; index < 5_000; index++) expect((await call.next())?.toString()).toBe(`message ${index}`);
      expect(await call.next()).toBeUndefined();
    });

    test("a message over 4 MiB ends that call alone, at the server", async () => {
      const call = client.open(pathOf("Echo"));
      call.send(Buffer.alloc(limitBytes + 1));
      expect(await call.status).toMatchObject({ code: 8 });
      await echoWorks();
    });

    test("a message over 4 MiB ends that call alone, at the client", async () => {
      const { near, far } = await hold();
      far.send(Buffer.alloc(limitBytes + 1));
      expect(await near.status).toMatchObject({ code: 8 });
      expect(await far.finished).toBe(false);
      await echoWorks();
    });

    test("the client half-closes and goes on receiving", async () => {
      const { near, far } = await hold();
      near.send(Buffer.from("last"));
      near.end();
      expect((await far.next())?.toString()).toBe("last");
      expect(await far.next()).toBeUndefined();
      for (let index = 0; index < 10; index++) {
        far.send(Buffer.from([index]));
        expect(await near.next()).toEqual(Buffer.from([index]));
      }
      far.finish(ok);
      expect(await near.status).toMatchObject({ code: 0 });
      expect(await far.finished).toBe(true);
    });

    test("the server ends the call while the client still sends", async () => {
      const { near, far } = await hold();
      near.send(Buffer.from("first"));
      expect((await far.next())?.toString()).toBe("first");
      far.finish(ok);
      expect(await near.status).toMatchObject({ code: 0 });
      near.send(Buffer.from("too late"));
      await echoWorks();
    });

    describe("cancelled by the client", () => {
      test("before the headers", async () => {
        const { near, far } = await hold();
        near.cancel();
        expect(await near.status).toMatchObject({ code: 1 });
        expect(await near.headers).toBeUndefined();
        expect(await far.finished).toBe(false);
      });

      test("before the call has left", async () => {
        // On a connection of its own: grpc-js then sends the request but no reset, and the call stays on the server.
        const caller = await clientSide.connect(server.port);
        const call = caller.open(pathOf("Echo"));
        call.cancel();
        expect(await call.status).toMatchObject({ code: 1 });
        await caller.close();
      });

      test("after the headers", async () => {
        const { near, far } = await hold();
        far.sendHeaders({ answer: ["yes"] });
        expect(await near.headers).toMatchObject({ answer: ["yes"] });
        near.cancel();
        expect(await near.status).toMatchObject({ code: 1 });
        expect(await far.finished).toBe(false);
      });

      test("in the middle of a message", async () => {
        const { near, far } = await hold();
        far.sendHeaders({});
        await near.headers;
        far.send(randomBytes(limitBytes));
        near.send(randomBytes(limitBytes));
        near.cancel();
        expect(await near.status).toMatchObject({ code: 1 });
        expect(await far.finished).toBe(false);
        await echoWorks();
      });

      test("after its half-close", async () => {
        const { near, far } = await hold();
        near.end();
        expect(await far.next()).toBeUndefined();
        near.cancel();
        expect(await near.status).toMatchObject({ code: 1 });
        expect(await far.finished).toBe(false);
      });
    });

    test("headers come before any message, and metadata keeps repeated keys and bytes", async () => {
      const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const fields = {
        plain: ["a, b=c; ~"],
        repeated: ["one", "two", "three"],
        "some-bin": [everyByte],
        "many-bin": [Buffer.from([0]), Buffer.from([1, 2]), Buffer.from([3, 4, 5])],
      };
      const { near, far } = await hold({ fields });
      expect(joined(far.fields)).toMatchObject(joined(fields));
      far.sendHeaders(fields);
      expect(joined((await near.headers) ?? {})).toMatchObject(joined(fields));
      far.finish(ok);
      await near.status;
    });

    test("a deadline ends the call at both ends", async () => {
      // Not before the call is at the server, also where this process stands still for a while.
      const { near, far } = await hold({ deadlineMs: 1_000 });
      expect(await near.status).toMatchObject({ code: 4 });
      expect(await far.finished).toBe(false);
      await echoWorks();
    });

    test("a path that nobody serves", async () => {
      const call = client.open("/test.Test/Nothing");
      call.send(Buffer.from("hello"));
      expect(await call.status).toMatchObject({ code: 12 });
      await echoWorks();
    });

    test("1,000 calls at once on one connection", async () => {
      const calls = Array.from({ length: 1_000 }, () => client.open(pathOf("Echo")));
      calls.forEach((call, index) => {
        call.send(Buffer.from(String(index)));
      });
      const answers = await Promise.all(calls.map((call) => call.next()));
      expect(answers.map(String)).toEqual(calls.map((_, index) => String(index)));
      for (const call of calls) call.end();
      for (const { code } of await Promise.all(calls.map((call) => call.status))) expect(code).toBe(0);
    });

    test("a graceful stop lets running calls end and takes no new ones", async () => {
      const started = deferred<TestServerCall>();
      const stopping = await serverSide.serve({ Hold: (call) => started.resolve(call) });
      const caller = await clientSide.connect(stopping.port);
      const near = caller.open(pathOf("Hold"));
      const far = await started.promise;
      const stopped = stopping.stop();
      for (let index = 0; index < 20; index++) {
        near.send(randomBytes(10_000));
        const message = await far.next();
        far.send(message ?? Buffer.alloc(0));
        expect((await near.next())?.length).toBe(10_000);
      }
      far.finish(ok);
      expect(await near.status).toMatchObject({ code: 0 });
      await stopped;
      await caller.close();
    });

    test("a server that dies ends the calls with UNAVAILABLE", async () => {
      const started = deferred<TestServerCall>();
      const dying = await serverSide.serve({ Hold: (call) => started.resolve(call) });
      const caller = await clientSide.connect(dying.port);
      const near = caller.open(pathOf("Hold"));
      await started.promise;
      await dying.kill();
      expect((await near.status).code).toBe(14);
      await caller.close();
    });
  });
}

/** Repeated text as one value: gRPC lets an implementation join it, and grpc-js does. */
function joined(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([key, values]) => [key, key.endsWith("-bin") ? values : [values.join(", ")]]),
  );
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

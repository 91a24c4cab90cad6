import { type RequestListener, request } from "node:http";
import { type Duplex, Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { httpEndpoint } from "../support/endpoints.ts";
import { Scene } from "../support/scene.ts";
import { within } from "../support/within.ts";

const mebibyte = 1024 * 1024;

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.start({ agentCount: 2, serverFlags: ["--mode=auto", "--proxy-strategies=default"] });
});
afterEach(() => scene.settle());
afterAll(() => scene.stop());

/** One request on this connection, a POST if it has a body; resolves to the answer's body. */
function ask(duplex: Duplex, body?: string): Promise<string> {
  const answered = new Promise<string>((resolve, reject) => {
    const createConnection = () => duplex;
    const method = body === undefined ? "GET" : "POST";
    const headers = { connection: "close" };
    const sent = request({ path: "/here", method, headers, createConnection }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString()));
      response.on("error", reject);
    });
    sent.on("error", reject).end(body);
  });
  return within(20_000, "the answer", answered);
}

describe.each(["grpc", "connect"] as const)("by %s", (protocol) => {
  test("a request is answered", async () => {
    const endpoint = await scene.endpoint(httpEndpoint());
    const { duplex } = await scene.connection(endpoint.address, protocol);
    expect(await ask(duplex)).toBe("GET /here");
  });

  test("an answer of 20 MiB that ends with its connection is complete", async () => {
    const endpoint = await scene.endpoint(httpEndpoint({ answer: sendMebibytes(20) }));
    const { duplex } = await scene.connection(endpoint.address, protocol);
    expect((await ask(duplex)).length).toBe(20 * mebibyte);
  });

  test("ten answers of 10 MiB at once are complete", async () => {
    const endpoint = await scene.endpoint(httpEndpoint({ answer: sendMebibytes(10) }));
    const lengths = Array.from({ length: 10 }, async () => {
      const { duplex } = await scene.connection(endpoint.address, protocol);
      return (await ask(duplex)).length;
    });
    expect(await Promise.all(lengths)).toEqual(Array(10).fill(10 * mebibyte));
  });

  test("100 requests at once through two agents each get their own answer", async () => {
    const endpoint = await scene.endpoint(httpEndpoint({ answer: (message, response) => void message.pipe(response) }));
    const bodies = Array.from({ length: 100 }, (_, index) => `the body of request ${index}`);
    const answers = bodies.map(async (body) => {
      const { duplex } = await scene.connection(endpoint.address, protocol);
      return ask(duplex, body);
    });
    expect(await Promise.all(answers)).toEqual(bodies);
  });
});

/** Without a length, so that only the connection's end tells where the answer ends. */
function sendMebibytes(count: number): RequestListener {
  return (_request, response) => {
    response.useChunkedEncodingByDefault = false;
    const chunks = Array.from({ length: count }, () => Buffer.alloc(mebibyte, "x"));
    Readable.from(chunks).pipe(response);
  };
}

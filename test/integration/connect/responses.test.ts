import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { echoEndpoint, httpEndpoint, refusingAddress, serve } from "../../support/endpoints.ts";
import { readAll, readBytes, readHead } from "../../support/frontend-client.ts";
import { rawAgentHost } from "../../support/raw-agent.ts";
import { Scene } from "../../support/scene.ts";

const established = "HTTP/1.1 200 Connection Established\r\n\r\n";

describe.each(["uds", "tcp"] as const)("over %s", (transport) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await Scene.start({ frontend: { protocol: "connect", transport } });
  });
  afterEach(() => scene.settle());
  afterAll(() => scene.stop());

  async function ask(request: string) {
    const socket = await scene.socket({ alpn: ["http/1.1"] });
    socket.write(request);
    return socket;
  }

  test("success: the 200 and nothing else, with Host and without, also with a foreign one", async () => {
    const echo = await scene.endpoint(echoEndpoint());
    for (const headers of ["", "Host: 127.0.0.1\r\n", "Host: elsewhere:1\r\nUser-Agent: kube\r\n"]) {
      const socket = await ask(`CONNECT ${echo.address} HTTP/1.1\r\n${headers}\r\n`);
      expect(await readHead(socket)).toBe(established);
      socket.end("hello");
      expect(await readAll(socket)).toBe("hello");
    }
  });

  test("bytes that come in one piece with the head reach the endpoint", async () => {
    const echo = await scene.endpoint(echoEndpoint());
    const socket = await ask(`CONNECT ${echo.address} HTTP/1.1\r\n\r\nCONNECT is not read here\r\n\r\n`);
    expect(await readHead(socket)).toBe(established);
    expect((await readBytes(socket, 28)).toString()).toBe("CONNECT is not read here\r\n\r\n");
  });

  test("an IPv6 target", async () => {
    const http = await scene.endpoint(httpEndpoint({ host: "::1" }));
    const socket = await ask(`CONNECT ${http.address} HTTP/1.1\r\n\r\n`);
    expect(await readHead(socket)).toBe(established);
    socket.write("GET /here HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nGET \/here$/s);
  });

  test("an answer under way when the client half-closes arrives whole", async () => {
    const answer = "x".repeat(1_000_000);
    const endpoint = await scene.endpoint(
      serve(async (socket) => {
        socket.once("data", () => socket.end(answer));
      }),
    );
    const socket = await ask(`CONNECT ${endpoint.address} HTTP/1.1\r\n\r\n`);
    expect(await readHead(socket)).toBe(established);
    socket.end("question");
    expect((await readAll(socket)).length).toBe(answer.length);
  });

  test("an endpoint that refuses: 502 with the agent's text", async () => {
    const address = await refusingAddress();
    const answer = await readAll(await ask(`CONNECT ${address} HTTP/1.1\r\n\r\n`));
    const head = "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";
    expect(answer.startsWith(`${head}dial tcp ${address}: connect: connection refused`)).toBe(true);
    expect(answer.endsWith("\n")).toBe(false);
  });

  test.each([
    ["dial tcp 10.0.0.1:80: i/o timeout", "504 Gateway Timeout"],
    ["context deadline exceeded", "504 Gateway Timeout"],
    ["lookup x: i/o timeout", "504 Gateway Timeout"],
    ["dial tcp 10.0.0.1:80: socket: Too Many Open Files", "503 Service Unavailable"],
    ["dial tcp 10.0.0.1:80: connect: no route to host", "502 Bad Gateway"],
    ["dial tcp: lookup x on 10.96.0.10:53: no such host", "502 Bad Gateway"],
    ["tls: bad certificate", "502 Bad Gateway"],
    ["something else", "502 Bad Gateway"],
  ])("an agent's answer %j becomes %s", async (error, status) => {
    const agent = await scene.rawAgent();
    const socket = await ask(`CONNECT ${rawAgentHost}:9 HTTP/1.1\r\n\r\n`);
    const { random } = await agent.stream.next("DIAL_REQ");
    agent.stream.send({ type: "DIAL_RSP", random, connectId: 0n, error });
    expect(await readAll(socket)).toBe(
      `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${error}`,
    );
  });

  test("other methods: 405 with the contract's headers and body, and the client may ask again", async () => {
    const echo = await scene.endpoint(echoEndpoint());
    const socket = await ask("GET http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n");
    const head = (await readHead(socket)).toLowerCase();
    expect(head).toMatch(/^http\/1\.1 405 method not allowed\r\n/);
    expect(head).toContain("\r\ncontent-type: text/plain; charset=utf-8\r\n");
    expect(head).toContain("\r\nx-content-type-options: nosniff\r\n");
    const body = "this proxy only supports CONNECT passthrough\n";
    expect((await readBytes(socket, body.length)).toString()).toBe(body);
    socket.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
    expect(await readHead(socket)).toBe(established);
  });

  test("each method but CONNECT: 405", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"]) {
      const socket = await ask(`${method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 405 Method Not Allowed\r\n/);
    }
  });
});

test("no agent: 500 with the contract's text", async () => {
  const scene = await Scene.start({ frontend: { protocol: "connect", transport: "uds" }, agentCount: 0 });
  try {
    const socket = await scene.socket();
    socket.write("CONNECT 127.0.0.1:80 HTTP/1.1\r\n\r\n");
    expect(await readAll(socket)).toBe(
      "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\n" +
        "currently no tunnels available: No agent available",
    );
  } finally {
    await scene.stop();
  }
});

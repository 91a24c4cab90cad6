import { once } from "node:events";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { nameBehindProxy } from "../../support/certificates.ts";
import { ConnectProxy, established } from "../../support/connect-proxy.ts";
import { echoEndpoint } from "../../support/endpoints.ts";
import { dialGrpc, frontendSession } from "../../support/frontend-client.ts";
import type { ProxyProcess } from "../../support/processes.ts";
import { Tunnel } from "../../support/tunnel.ts";
import { until } from "../../support/until.ts";

const password = "s3cret pass";
const credentials = Buffer.from(`agent:${password}`).toString("base64");
const secrets = [password, encodeURIComponent(password), credentials];

let proxy: ConnectProxy;
let tunnel: Tunnel;
let agent: ProxyProcess;
beforeAll(async () => {
  proxy = await ConnectProxy.start();
  tunnel = await Tunnel.start({
    server: "hawser",
    agent: "hawser",
    frontend: { protocol: "grpc", transport: "uds" },
    agentFlags: [`--proxy-server-host=${nameBehindProxy}`, "--v=6"],
    env: {
      HTTPS_PROXY: proxy.url.replace("//", `//agent:${encodeURIComponent(password)}@`),
      NO_PROXY: "10.0.0.0/8,.svc",
    },
  });
  [agent] = tunnel.agents as [ProxyProcess];
});
afterEach(async () => {
  proxy.script = (request) => request.pass();
  await tunnel.serverCounts(1);
  const log = agent.stderr.join("\n");
  for (const secret of secrets) expect(log).not.toContain(secret);
});
afterAll(async () => {
  await tunnel?.stop();
  await proxy?.stop();
});

/** Cuts the link and resolves to why the agent cannot have another. */
async function reasonAfterCut(): Promise<string> {
  const from = agent.stderr.length;
  proxy.cut();
  return await until(
    "a failed attempt",
    () => {
      const line = agent.stderr.slice(from).find((text) => text.includes("cannot link to a server"));
      return line === undefined ? undefined : (JSON.parse(line) as { reason: string }).reason;
    },
    agent.withinStart(),
  );
}

async function expectEcho(): Promise<void> {
  const echo = await echoEndpoint();
  const session = await frontendSession(tunnel);
  try {
    const connection = await dialGrpc(session, echo.address);
    connection.write("through all of it");
    expect(String(await once(connection, "data"))).toBe("through all of it");
  } finally {
    await session.close();
    await echo.close();
  }
}

it("an agent links and carries connections through the proxy, and says at start that there is one", async () => {
  expect(proxy.requests.map(({ target }) => target)).toEqual([`${nameBehindProxy}:${tunnel.server.agentPort}`]);
  expect(proxy.requests[0]?.headers.get("proxy-authorization")).toBe(`Basic ${credentials}`);
  expect(proxy.requests[0]?.headers.get("user-agent")).toMatch(/^hawser-agent\//);
  const told = agent.stderr.filter((line) => line.includes("servers are reached through a proxy"));
  expect(told.map((line) => JSON.parse(line).proxy)).toEqual([proxy.url]);
  await expectEcho();
});

it("it links again when the proxy dropped the connection", async () => {
  const before = proxy.requests.length;
  proxy.cut();
  await until("another CONNECT", () => proxy.requests.length > before, agent.withinStart());
  await tunnel.serverCounts(1);
  await expectEcho();
});

it("its log names a proxy that refuses, and how", async () => {
  proxy.script = ({ socket }) =>
    socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n");
  expect(await reasonAfterCut()).toBe(
    `proxy ${proxy.url}: answered CONNECT ${nameBehindProxy}:${tunnel.server.agentPort} with 407 Proxy Authentication Required: ` +
      "is there the right user and password in HTTPS_PROXY?",
  );
});

it("its log names a proxy that repeats what it was sent in place of an answer, and does not repeat that", async () => {
  proxy.script = ({ socket, headers }) => socket.end(`Proxy-Authorization: ${headers.get("proxy-authorization")}\r\n`);
  expect(await reasonAfterCut()).toMatch(`proxy ${proxy.url}: Parse Error`);
});

it("it fails at once where the proxy closes within the handshake", async () => {
  proxy.script = ({ socket }) => {
    socket.write(established);
    socket.once("data", () => socket.destroy());
    socket.resume();
  };
  expect(await reasonAfterCut()).toMatch(/^cannot connect: |^the connection was closed/);
});

it("it fails at once where the proxy speaks for the server", async () => {
  proxy.script = ({ socket }) => {
    socket.write(`${established}HTTP/1.1 400 Bad Request\r\n\r\n`);
    socket.resume();
  };
  expect(await reasonAfterCut()).toMatch(/^cannot connect: .*wrong version number/);
});

it("an agent whose server stands in NO_PROXY does without", async () => {
  const before = proxy.requests.length;
  const other = await Tunnel.start({
    server: "hawser",
    agent: "hawser",
    frontend: { protocol: "grpc", transport: "uds" },
    env: { HTTPS_PROXY: proxy.url },
  });
  await other.stop();
  expect(proxy.requests.length).toBe(before);
});

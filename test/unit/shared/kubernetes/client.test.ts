import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HttpProxy, proxyFor } from "../../../../shared/http/proxy-environment.ts";
import { KubernetesError, type WatchEvent } from "../../../../shared/kubernetes/api.ts";
import { createKubernetesClient, type KubernetesClient } from "../../../../shared/kubernetes/client.ts";
import type { ClusterTls } from "../../../../shared/kubernetes/cluster-access.ts";
import { silentLog } from "../../../../shared/log.ts";
import { ConnectProxy } from "../../../support/connect-proxy.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeKubeApi, statusAnswer } from "../../../support/fake-kube-api.ts";

let api: FakeKubeApi;
let clock: FakeClock;
let client: KubernetesClient;

const unlimited = { qps: -1, burst: 1 };

function connect(
  tls: Partial<ClusterTls> = {},
  url = api.url,
  rate = unlimited,
  proxy: HttpProxy | undefined = undefined,
): KubernetesClient {
  const access = {
    url: new URL(url),
    proxy,
    tls: { ca: api.ca, verify: true, serverName: undefined, keyPair: undefined, ...tls },
    token: () => "secret",
  };
  return createKubernetesClient(access, { ...rate, clock, log: silentLog });
}

beforeEach(async () => {
  api = await FakeKubeApi.start();
  clock = new FakeClock();
  client = connect();
});
afterEach(async () => {
  client.close();
  await api.close();
});

/** What the call fails with. */
async function failure(call: Promise<unknown>): Promise<KubernetesError> {
  const error = await call.then(
    () => undefined,
    (reason) => reason,
  );
  if (!(error instanceof KubernetesError)) throw new Error("no KubernetesError", { cause: error });
  return error;
}

describe("a request", () => {
  it("sends JSON with the token, and brings the decoded answer", async () => {
    api.script = () => ({ status: 201, body: { answer: 42 } });
    const answer = await client.request("POST", "/apis/x", { query: { labelSelector: "a=b,c" }, body: { n: 1 } });
    expect(answer).toEqual({ answer: 42 });
    const [call] = api.calls;
    expect(call).toMatchObject({ method: "POST", path: "/apis/x", body: { n: 1 } });
    expect(call?.query.get("labelSelector")).toBe("a=b,c");
    expect(call?.headers).toMatchObject({
      authorization: "Bearer secret",
      accept: "application/json",
      "content-type": "application/json",
      "user-agent": expect.stringMatching(/^hawser\//),
    });
    expect(clock.pending).toBe(0);
  });

  it("puts the path of the server's URL first", async () => {
    const behind = connect({}, `${api.url}/k8s/clusters/c-1/`);
    await behind.request("GET", "/api");
    behind.close();
    expect(api.calls[0]?.path).toBe("/k8s/clusters/c-1/api");
  });

  it.each([
    [403, "Forbidden"],
    [404, "NotFound"],
    [409, "Conflict"],
    [410, "Expired"],
    [429, "TooManyRequests"],
    [500, "InternalError"],
  ])("fails with status %d and reason %s", async (status, reason) => {
    api.script = () => statusAnswer(status, reason, "why\nso");
    const error = await failure(client.request("GET", "/x"));
    expect(error).toMatchObject({ status, reason, message: `kube-apiserver answered ${status}: why so` });
  });

  it.each([
    ["an error of a proxy", 502, "<h1>Bad Gateway</h1>", "kube-apiserver answered 502"],
    ["a redirect", 302, "", "kube-apiserver answered 302"],
    ["garbage", 200, "\u0000\u0001{", "kube-apiserver's answer is not JSON"],
    ["nothing", 200, "", "kube-apiserver's answer is not JSON"],
    ["a list", 200, "[]", "kube-apiserver's answer is no JSON object"],
  ])("fails on %s", async (_what, status, text, message) => {
    api.script = () => (response) => response.writeHead(status).end(text);
    expect(await failure(client.request("GET", "/x"))).toMatchObject({ status, reason: "", message });
  });

  it("fails on an answer that breaks off", async () => {
    api.script = () => (response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("{", () => response.destroy());
    };
    expect((await failure(client.request("GET", "/x"))).message).toMatch(/^kube-apiserver's answer broke off: /);
  });

  it("does not read an answer without end", async () => {
    api.script = () => (response) => {
      const more = () => {
        while (response.write("x".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    };
    expect((await failure(client.request("GET", "/x"))).message).toBe(
      "kube-apiserver's answer is longer than 16777216 bytes",
    );
  });

  it("ends when its time is up, also in the middle of the answer", async () => {
    api.script = () => "hang";
    const silent = failure(client.request("GET", "/x"));
    await api.called(1);
    clock.advance(10_000);
    expect(await silent).toMatchObject({ status: 0, message: "no answer from kube-apiserver within 10000 ms" });
    api.script = () => (response) => response.write("{");
    const slow = failure(client.request("GET", "/x", { timeoutMs: 200 }));
    await api.called(2);
    clock.advance(200);
    expect((await slow).message).toBe("no answer from kube-apiserver within 200 ms");
  });

  it("ends with the reason of its signal", async () => {
    api.script = () => "hang";
    const reason = new Error("enough");
    const leave = new AbortController();
    const call = client.request("GET", "/x", { signal: leave.signal });
    await api.called(1);
    leave.abort(reason);
    await expect(call).rejects.toBe(reason);
    await expect(client.request("GET", "/x", { signal: leave.signal })).rejects.toBe(reason);
    expect(api.calls).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it("leaves nothing on a signal that outlives it", async () => {
    const { signal } = new AbortController();
    await client.request("GET", "/x", { signal });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("waits until the rate allows it, for half of its time at most: the rest is for the answer", async () => {
    const slow = connect({}, api.url, { qps: 0.5, burst: 1 });
    await slow.request("GET", "/first");
    const second = slow.request("GET", "/second");
    expect((await failure(slow.request("GET", "/late", { timeoutMs: 7_999 }))).message).toMatch(/--kubeconfig-qps/);
    const third = slow.request("GET", "/third", { timeoutMs: 8_000 });
    expect(api.calls).toHaveLength(1);
    clock.advance(2_000);
    await second;
    let answer = () => {};
    api.script = () => (response) => {
      answer = () => response.end("{}");
    };
    clock.advance(2_000);
    await api.called(3);
    clock.advance(3_999);
    answer();
    await third;
    expect(api.calls.map(({ path }) => path)).toEqual(["/first", "/second", "/third"]);
    slow.close();
  });

  it("of a separate client waits for none of this one's, and ends with this one", async () => {
    const busy = connect({}, api.url, { qps: 0.5, burst: 1 });
    const separate = busy.separate();
    await busy.request("GET", "/first");
    expect((await failure(busy.request("GET", "/late", { timeoutMs: 1_000 }))).message).toMatch(/--kubeconfig-qps/);
    api.script = () => "hang";
    const lease = failure(separate.request("PUT", "/lease", { timeoutMs: 1_000 }));
    await api.called(2);
    busy.close();
    expect(await lease).toMatchObject({ status: 0, message: expect.stringContaining("cannot be reached") });
  });

  it("says so when nobody listens", async () => {
    await api.close();
    const error = await failure(client.request("GET", "/x"));
    expect(error).toMatchObject({ status: 0, reason: "" });
    expect(error.message).toMatch(/^kube-apiserver cannot be reached: .*ECONNREFUSED/);
    await api.listen();
    await expect(client.request("GET", "/x")).resolves.toEqual({});
  });

  it("is sent once more if a kept connection was just being closed, but not on a new one", async () => {
    await client.request("GET", "/first");
    api.script = () => (api.calls.length === 1 ? "close" : { status: 200, body: { ok: true } });
    await expect(client.request("GET", "/second")).resolves.toEqual({ ok: true });
    expect(api.calls.map(({ path }) => path)).toEqual(["/first", "/second", "/second"]);
    const fresh = connect();
    api.script = () => "close";
    expect(await failure(fresh.request("GET", "/third"))).toMatchObject({ status: 0 });
    fresh.close();
    expect(api.calls).toHaveLength(4);
  });
});

describe("TLS", () => {
  it.each<[string, Partial<ClusterTls>, boolean]>([
    ["authorities that did not sign the server", { ca: undefined }, false],
    ["no check at all", { ca: undefined, verify: false }, true],
    ["another name that the certificate has", { serverName: "kubernetes.default.svc" }, true],
    ["an address that the certificate has", { serverName: "127.0.0.1" }, true],
    ["a name that the certificate lacks", { serverName: "example.com" }, false],
    ["an address that the certificate lacks", { serverName: "127.0.0.9" }, false],
  ])("with %s", async (_what, tls, works) => {
    const other = connect(tls);
    const call = other.request("GET", "/x").finally(() => other.close());
    if (works) await expect(call).resolves.toEqual({});
    else expect(await failure(call)).toMatchObject({ status: 0 });
    expect(api.calls).toHaveLength(works ? 1 : 0);
  });

  it("shows the client's certificate", async () => {
    const withCertificate = connect({ keyPair: api.client });
    await withCertificate.request("GET", "/x");
    withCertificate.close();
    expect(api.calls[0]?.clientName).toBe("client");
  });
});

describe("a watch", () => {
  const lease = (name: string) => ({ metadata: { name } });
  const line = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`;
  const stop = new AbortController();
  const watch = (signal = stop.signal) =>
    client.watch<{ metadata: { name: string } }>("/leases", {
      query: { labelSelector: "a" },
      resourceVersion: "7",
      signal,
    });
  async function collect(events: AsyncIterable<WatchEvent<unknown>>): Promise<WatchEvent<unknown>[]> {
    const all: WatchEvent<unknown>[] = [];
    for await (const event of events) all.push(event);
    return all;
  }

  it("brings events as they come, however they are cut, and ends with the server's answer", async () => {
    const text = line("ADDED", lease("\u00e9")) + line("DELETED", lease("a")) + line("BOOKMARK", {});
    api.script = () => (response) => {
      for (const byte of Buffer.from(text)) response.write(Buffer.of(byte));
      response.end();
    };
    expect(await collect(watch())).toEqual([
      { type: "ADDED", object: lease("\u00e9") },
      { type: "DELETED", object: lease("a") },
      { type: "BOOKMARK", object: {} },
    ]);
    expect(Object.fromEntries(api.calls[0]?.query ?? [])).toEqual({
      labelSelector: "a",
      watch: "true",
      allowWatchBookmarks: "true",
      timeoutSeconds: "300",
      resourceVersion: "7",
    });
    expect(clock.pending).toBe(0);
  });

  it("fails with the status of an ERROR event, and with that of the answer", async () => {
    api.script = () => (response) =>
      response.end(line("ERROR", { kind: "Status", code: 410, reason: "Expired", message: "too old" }));
    expect(await failure(collect(watch()))).toMatchObject({ status: 410, reason: "Expired" });
    api.script = () => statusAnswer(403, "Forbidden", "no");
    expect(await failure(collect(watch()))).toMatchObject({ status: 403, reason: "Forbidden" });
  });

  it.each([
    ["garbage", "<html>\n", "kube-apiserver's answer is not JSON"],
    ["an unknown event", line("MOVED", {}), "kube-apiserver's watch sent what is no event"],
    ["a line without end", "x".repeat(3_000_000), "kube-apiserver's answer is longer than 2097152 bytes"],
  ])("fails on %s", async (_what, text, message) => {
    api.script = () => (response) => response.write(text);
    expect((await failure(collect(watch()))).message).toBe(message);
  });

  it("fails when it breaks off", async () => {
    api.script = () => (response) => response.write(line("ADDED", lease("a")), () => response.destroy());
    const events = watch()[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ type: "ADDED" });
    expect((await failure(events.next())).message).toMatch(/^kube-apiserver's answer broke off: /);
  });

  it("fails when the server neither answers in time nor ends it in time", async () => {
    api.script = () => "hang";
    const unanswered = failure(collect(watch()));
    await api.called(1);
    clock.advance(10_000);
    expect((await unanswered).message).toBe("no answer from kube-apiserver within 10000 ms");
    api.script = () => (response) => response.write(line("ADDED", lease("a")));
    const events = watch()[Symbol.asyncIterator]();
    await events.next();
    const endless = failure(events.next());
    clock.advance(329_999);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    expect((await endless).message).toBe("no answer from kube-apiserver within 330000 ms");
  });

  it("closes its connection when nobody listens any more", async () => {
    const left: Promise<void>[] = [];
    api.script = () => (response) => {
      left.push(new Promise((resolve) => response.once("close", resolve)));
      response.write(line("ADDED", lease("a")));
    };
    for await (const event of watch()) if (event.type === "ADDED") break;
    const leave = new AbortController();
    const events = watch(leave.signal)[Symbol.asyncIterator]();
    await events.next();
    const reason = new Error("enough");
    const end = events.next();
    leave.abort(reason);
    await expect(end).rejects.toBe(reason);
    expect(left).toHaveLength(2);
    await Promise.all(left);
    expect(clock.pending).toBe(0);
  });
});

describe("behind a proxy", () => {
  let proxy: ConnectProxy;
  let behind: KubernetesClient;
  beforeEach(async () => {
    proxy = await ConnectProxy.start();
    const url = `https://kubernetes.default.svc:${api.port}`;
    const environment = { httpsProxy: proxy.url.replace("//", "//u:secret@"), noProxy: "" };
    const target = { host: "kubernetes.default.svc", port: api.port };
    behind = connect({}, url, unlimited, proxyFor(environment, target, { schemes: ["http"], defaultPort: 80 }));
  });
  afterEach(async () => {
    behind.close();
    await proxy.stop();
  });

  it("kube-apiserver is verified by its own name, over a connection that is used again", async () => {
    api.script = () => ({ status: 200, body: { answer: 42 } });
    expect(await behind.request("GET", "/x")).toEqual({ answer: 42 });
    expect(await behind.request("GET", "/y")).toEqual({ answer: 42 });
    expect(proxy.requests.map(({ target }) => target)).toEqual([`kubernetes.default.svc:${api.port}`]);
    expect(proxy.requests[0]?.headers.get("proxy-authorization")).toMatch(/^Basic /);
    expect(api.calls.map(({ headers }) => headers["proxy-authorization"])).toEqual([undefined, undefined]);
    expect(clock.pending).toBe(0);
  });

  it("a refusal says what the proxy answered", async () => {
    proxy.script = ({ socket }) => socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    const error = await failure(behind.request("GET", "/x"));
    expect(error).toMatchObject({
      status: 0,
      message: `kube-apiserver cannot be reached: proxy ${proxy.url}: answered CONNECT kubernetes.default.svc:${api.port} with 403 Forbidden`,
    });
  });

  it("a client that is closed waits for no proxy", async () => {
    proxy.script = () => behind.close();
    const error = await failure(behind.request("GET", "/x"));
    expect(error.message).toContain("the client was closed");
    expect(clock.pending).toBe(0);
  });
});

import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type EndpointConnection, EndpointDialer, type Lookup } from "../../agent/endpoints/endpoint-dialer.ts";
import { type ErrorCode, ProxyError } from "../../shared/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { turn } from "../support/turn.ts";
import { until } from "../support/until.ts";

const here: LookupAddress = { address: "127.0.0.1", family: 4 };
const sockets = new Set<Socket>();
const servers = new Set<Server>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all([...servers].map(closed));
  sockets.clear();
  servers.clear();
});

const closed = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));

/** A listener, the sockets it has accepted, and its port. */
async function listen() {
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
    accepted.push(socket);
  });
  servers.add(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { accepted, port: (server.address() as AddressInfo).port, server };
}

/** A port of this machine on which nothing listens. */
async function deadPort(): Promise<number> {
  const { server, port } = await listen();
  await closed(server);
  return port;
}

const answering =
  (...addresses: readonly LookupAddress[]): Lookup =>
  async () =>
    addresses;
const failing =
  (code: string): Lookup =>
  async () => {
    throw Object.assign(new Error(`getaddrinfo ${code}`), { code, syscall: "getaddrinfo" });
  };

function dialer(lookup: Lookup = failing("ENOTFOUND")) {
  const clock = new FakeClock();
  const endpoints = new EndpointDialer({ clock, lookup });
  const cancel = new AbortController();
  const dial = async (address: string, protocol = "tcp"): Promise<EndpointConnection> => {
    const connection = await endpoints.dial({ protocol, address }, { signal: cancel.signal });
    sockets.add(connection.socket);
    return connection;
  };
  const refusal = (address: string, protocol?: string): Promise<ProxyError> =>
    dial(address, protocol).then(
      () => Promise.reject(new Error("connected")),
      (error) => error,
    );
  return { clock, cancel, dial, refusal };
}

describe("an endpoint that is there", () => {
  it("is reached by its address, without a lookup", async () => {
    const { port, accepted } = await listen();
    const { dial, clock } = dialer();
    const { socket, reached } = await dial(`127.0.0.1:${port}`);
    expect(reached).toBe(`127.0.0.1:${port}`);
    expect(socket.readableFlowing).toBeNull();
    expect(socket.allowHalfOpen).toBe(true);
    for (const event of ["connect", "data", "close"]) expect(socket.listenerCount(event)).toBe(0);
    expect(clock.pending).toBe(0);
    await until("the endpoint accepts", () => accepted.length === 1, { withinMs: 5_000 });
  });

  it("is reached by name", async () => {
    const { port } = await listen();
    const asked: string[] = [];
    const { dial } = dialer(async (host) => {
      asked.push(host);
      return [here];
    });
    expect((await dial(`node-1:${port}`)).reached).toBe(`127.0.0.1:${port}`);
    expect(asked).toEqual(["node-1"]);
  });

  it("does not lose what it says first", async () => {
    const { port, server } = await listen();
    server.on("connection", (socket) => socket.end("banner"));
    const { dial } = dialer();
    const { socket } = await dial(`127.0.0.1:${port}`);
    await turn();
    let got = "";
    socket.on("data", (chunk: Buffer) => {
      got += chunk;
    });
    await once(socket, "end");
    expect(got).toBe("banner");
  });
});

describe("a name with several addresses (RFC 8305)", () => {
  it("tries the next as soon as one fails", async () => {
    const { port } = await listen();
    // Nothing listens on ::2, and no route leads there: either way the attempt fails at once.
    const { dial, clock } = dialer(answering({ address: "::2", family: 6 }, here));
    expect((await dial(`node-1:${port}`)).reached).toBe(`127.0.0.1:${port}`);
    expect(clock.now()).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("tries the next after 250 ms beside the first, takes the winner and closes the rest", async () => {
    const { port, accepted } = await listen();
    const starts: number[] = [];
    const clock = new FakeClock();
    const endpoints = new EndpointDialer({ clock, lookup: answering(here, here, here) });
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) =>
      after(ms, () => {
        starts.push(clock.now());
        callback();
      });
    const dialed = endpoints.dial(
      { protocol: "tcp", address: `node-1:${port}` },
      { signal: new AbortController().signal },
    );
    // The lookup has been answered and the first attempt begun; no socket has been told of anything yet.
    for (let microtasks = 0; microtasks < 20; microtasks += 1) await Promise.resolve();
    clock.advance(249);
    expect(starts).toEqual([]);
    clock.advance(251);
    expect(starts).toEqual([250, 500]);
    const { socket } = await dialed;
    sockets.add(socket);
    await until("all but the winner are closed", () => accepted.filter((each) => each.closed).length === 2, {
      withinMs: 5_000,
    });
    expect(accepted.length).toBe(3);
    expect(socket.destroyed).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it("alternates between the families, beginning with the resolver's first", async () => {
    const port = await deadPort();
    const six: LookupAddress = { address: "::1", family: 6 };
    const { refusal } = dialer(answering(here, here, six));
    // All fail; the first failure is the one that is told.
    expect((await refusal(`node-1:${port}`)).message).toContain(`127.0.0.1:${port}`);
    const reversed = dialer(answering(six, here));
    expect((await reversed.refusal(`node-1:${port}`)).message).toContain(`[::1]:${port}`);
  });

  it("connects once: a connection that is reset later starts no other attempt", async () => {
    const { port, accepted } = await listen();
    const { dial, clock } = dialer(answering(here, here));
    const { socket } = await dial(`node-1:${port}`);
    await until("the endpoint accepts", () => accepted.length === 1, { withinMs: 5_000 });
    socket.resume();
    accepted[0]?.resetAndDestroy();
    await new Promise((resolve) => socket.once("close", resolve));
    expect(socket.errored).toMatchObject({ code: "ECONNRESET" });
    const next = await dial(`127.0.0.1:${port}`);
    await until("the endpoint accepts the next", () => accepted.length >= 2, { withinMs: 5_000 });
    expect(accepted.map(({ remotePort }) => remotePort)[1]).toBe(next.socket.localPort);
    expect(accepted.length).toBe(2);
    expect(clock.pending).toBe(0);
  });
});

describe("failures, in the words of Go's dialer", () => {
  it.each<[string, Lookup, string, string, ErrorCode]>([
    ["an unknown name", failing("ENOTFOUND"), "node-1:80", "dial tcp: lookup node-1: no such host", "dns"],
    [
      "a name server that does not answer",
      failing("EAI_AGAIN"),
      "node-1:80",
      "dial tcp: lookup node-1: temporary failure in name resolution",
      "dns",
    ],
    [
      "a name server that fails",
      failing("EAI_FAIL"),
      "node-1:80",
      "dial tcp: lookup node-1: server misbehaving",
      "dns",
    ],
    ["no port", failing("x"), "node-1", "dial tcp: address node-1: missing port in address", "protocol"],
    ["no port behind brackets", failing("x"), "[::1]", "dial tcp: address [::1]: missing port in address", "protocol"],
    ["too many colons", failing("x"), "a:b:80", "dial tcp: address a:b:80: too many colons in address", "protocol"],
    ["bare IPv6", failing("x"), "::1:80", "dial tcp: address ::1:80: too many colons in address", "protocol"],
    ["a port that is none", failing("x"), "node-1:http", "dial tcp: address node-1:http: invalid port", "protocol"],
    ["port 0", failing("x"), "node-1:0", "dial tcp: address node-1:0: invalid port", "protocol"],
    ["a port too high", failing("x"), "node-1:65536", "dial tcp: address node-1:65536: invalid port", "protocol"],
  ])("%s", async (_what, lookup, address, message, code) => {
    const { refusal, clock } = dialer(lookup);
    expect(await refusal(address)).toMatchObject({ name: "ProxyError", message, code, reportedBy: "agent" });
    expect(clock.pending).toBe(0);
  });

  it.each(["udp", "unix", "tcp4", ""])("a protocol that is not tcp: %j", async (protocol) => {
    const message = `dial ${protocol}: unknown network ${protocol}`;
    expect(await dialer().refusal("127.0.0.1:80", protocol)).toMatchObject({ message, code: "protocol" });
  });

  it("a port on which nothing listens", async () => {
    const port = await deadPort();
    expect(await dialer().refusal(`127.0.0.1:${port}`)).toMatchObject({
      message: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
      code: "refused",
    });
  });

  it("no answer from the name servers within 5 s", async () => {
    const { clock, refusal } = dialer(() => new Promise(() => {}));
    const refused = refusal("node-1:80");
    await turn();
    clock.advance(5_000);
    expect(await refused).toMatchObject({ message: "dial tcp node-1:80: i/o timeout", code: "dial_timeout" });
    expect(clock.pending).toBe(0);
  });

  it("no answer from the endpoint within 5 s", async () => {
    const { port } = await listen();
    const { clock, refusal } = dialer();
    const refused = refusal(`127.0.0.1:${port}`);
    // In the turn of the order no socket is connected yet.
    clock.advance(5_000);
    expect(await refused).toMatchObject({
      message: `dial tcp 127.0.0.1:${port}: i/o timeout`,
      code: "dial_timeout",
    });
    expect(clock.pending).toBe(0);
  });

  it("a name without addresses", async () => {
    expect(await dialer(answering()).refusal("node-1:80")).toMatchObject({
      message: "dial tcp: lookup node-1: no such host",
      code: "dns",
    });
  });
});

describe("a dial that is cancelled rejects with the reason, and leaves nothing", () => {
  const reason = new ProxyError("cancelled", "the client cancelled the dial");

  it("before it begins", async () => {
    const { refusal, cancel, clock } = dialer();
    cancel.abort(reason);
    expect(await refusal("127.0.0.1:1")).toBe(reason);
    expect(clock.pending).toBe(0);
  });

  it("during the lookup", async () => {
    const { refusal, cancel, clock } = dialer(() => new Promise(() => {}));
    const refused = refusal("node-1:80");
    await turn();
    cancel.abort(reason);
    expect(await refused).toBe(reason);
    expect(clock.pending).toBe(0);
  });

  it("while it connects", async () => {
    const { port, accepted } = await listen();
    const { refusal, cancel, clock } = dialer(answering(here, here));
    const refused = refusal(`node-1:${port}`);
    for (let microtasks = 0; microtasks < 20; microtasks += 1) await Promise.resolve();
    cancel.abort(reason);
    expect(await refused).toBe(reason);
    expect(clock.pending).toBe(0);
    await until("no socket is left", () => accepted.every((each) => each.closed), { withinMs: 5_000 });
  });

  it("not at all once it is connected", async () => {
    const { port } = await listen();
    const { dial, cancel } = dialer();
    const { socket } = await dial(`127.0.0.1:${port}`);
    cancel.abort(reason);
    await turn();
    expect(socket.destroyed).toBe(false);
  });
});

describe("lookups", () => {
  /** Lookups that the test answers, in the order in which they were begun. */
  function held() {
    const begun: { readonly host: string; fail(): void }[] = [];
    const lookup: Lookup = (host) =>
      new Promise((_resolve, reject) => {
        begun.push({ host, fail: () => reject(Object.assign(new Error("x"), { code: "ENOTFOUND" })) });
      });
    const clock = new FakeClock();
    const endpoints = new EndpointDialer({ clock, lookup });
    const dial = (host: string) => {
      const cancel = new AbortController();
      const refused = endpoints
        .dial({ protocol: "tcp", address: `${host}:80` }, { signal: cancel.signal })
        .then(undefined, (error: ProxyError) => error);
      return { cancel, refused };
    };
    return { begun, dial, clock, hosts: () => begun.map(({ host }) => host) };
  }

  it("run two at a time; each that ends lets the next begin", async () => {
    const { begun, dial, hosts } = held();
    const dials = ["a", "b", "c", "d"].map(dial);
    await turn();
    expect(hosts()).toEqual(["a", "b"]);
    begun[1]?.fail();
    await turn();
    expect(hosts()).toEqual(["a", "b", "c"]);
    begun[0]?.fail();
    begun[2]?.fail();
    await turn();
    expect(hosts()).toEqual(["a", "b", "c", "d"]);
    begun[3]?.fail();
    for (const { refused } of dials) expect(await refused).toMatchObject({ code: "dns" });
  });

  it("keep their turn until they end, though nobody waits for them any more", async () => {
    const { begun, dial, hosts } = held();
    const [first] = ["a", "b", "c"].map(dial);
    await turn();
    first?.cancel.abort(new ProxyError("cancelled", "gone"));
    await turn();
    expect(hosts()).toEqual(["a", "b"]);
    begun[0]?.fail();
    await turn();
    expect(hosts()).toEqual(["a", "b", "c"]);
  });

  it("are not begun for a dial that was cancelled while it waited", async () => {
    const { begun, dial, hosts } = held();
    const [, , third, fourth] = ["a", "b", "c", "d"].map(dial);
    await turn();
    third?.cancel.abort(new ProxyError("cancelled", "gone"));
    await turn();
    begun[0]?.fail();
    await turn();
    expect(hosts()).toEqual(["a", "b", "d"]);
    expect(await third?.refused).toMatchObject({ code: "cancelled" });
    expect(fourth).toBeDefined();
  });

  it("pass their turn on when a dial is cancelled in the very turn in which it was to begin", async () => {
    const { begun, dial, hosts } = held();
    const [, , third] = ["a", "b", "c", "d"].map(dial);
    await turn();
    begun[0]?.fail();
    third?.cancel.abort(new ProxyError("cancelled", "gone"));
    await turn();
    expect(hosts()).toEqual(["a", "b", "d"]);
  });

  it("that wait are given up after 5 s", async () => {
    const { dial, clock, hosts } = held();
    const [, , third] = ["a", "b", "c"].map(dial);
    await turn();
    clock.advance(5_000);
    expect(await third?.refused).toMatchObject({ message: "dial tcp c:80: i/o timeout", code: "dial_timeout" });
    expect(hosts()).toEqual(["a", "b"]);
    expect(clock.pending).toBe(0);
  });
});

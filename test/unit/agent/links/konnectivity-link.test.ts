import { describe, expect, it } from "vitest";
import { KonnectivityLink } from "../../../../agent/links/konnectivity-link.ts";
import { AgentMetrics } from "../../../../agent/metrics.ts";
import type { DialRequest } from "../../../../shared/dial.ts";
import { ProxyError } from "../../../../shared/errors.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import type { Packet } from "../../../../shared/konnectivity/packet.ts";
import { silentLog } from "../../../../shared/log.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeClientCall } from "../../../support/fake-grpc-stream.ts";
import { receive } from "../../../support/memory-duplex.ts";
import { turn } from "../../../support/turn.ts";

const order = { type: "DIAL_REQ", protocol: "tcp", address: "10.0.0.1:80" } as const;

async function linked() {
  const call = new FakeClientCall();
  const clock = new FakeClock();
  const dials: DialRequest[] = [];
  const link = new KonnectivityLink(
    {
      call,
      clock,
      log: silentLog,
      metrics: new AgentMetrics({ version: "test" }),
      onDial: (dial) => dials.push(dial),
    },
    { server: { id: "s", count: 1 } },
  );
  link.start();
  await turn();
  /** A connection for the dial `random`, and the id that the link gave it. */
  const established = async (random: bigint) => {
    call.receive({ ...order, random });
    const accepted = await dials.at(-1)?.accept({});
    const answer = call.taken().at(-1);
    if (accepted === undefined || answer?.type !== "DIAL_RSP") throw new Error("not established");
    return { duplex: accepted.duplex, connectId: answer.connectId };
  };
  return { call, clock, dials, link, established };
}

it("is busy from the first dial on until all dials and connections are over", async () => {
  const { call, dials, link, established } = await linked();
  expect(link.busy).toBe(false);
  const { duplex } = await established(7n);
  call.receive({ ...order, random: 8n });
  duplex.destroy();
  await turn();
  expect(link.busy).toBe(true);
  dials.at(-1)?.refuse(new ProxyError("refused", "refused"));
  expect(link.busy).toBe(false);
});

describe("a dial order", () => {
  it("is answered with a new id once it is accepted, and its bytes come after that", async () => {
    const { call, dials } = await linked();
    call.receive({ ...order, random: 7n });
    expect(dials).toMatchObject([{ id: 7n, target: { protocol: "tcp", address: "10.0.0.1:80" } }]);
    expect(call.taken()).toEqual([]);
    const end = await dials[0]?.accept({});
    end?.duplex.write("banner");
    await turn();
    const sent = call.taken();
    const connectId = (sent[0] as Extract<Packet, { type: "DIAL_RSP" }>).connectId;
    expect(connectId).not.toBe(0n);
    expect(end?.halfClose).toBe(false);
    expect(sent).toEqual([
      { type: "DIAL_RSP", random: 7n, connectId, error: "" },
      { type: "DATA", connectId, data: Buffer.from("banner") },
    ]);
  });

  it("gets one answer, however often it is refused", async () => {
    const { call, dials } = await linked();
    call.receive({ ...order, random: 7n });
    for (let times = 0; times < 2; times += 1) {
      dials[0]?.refuse(new ProxyError("refused", "dial tcp 10.0.0.1:80: connect: connection refused"));
    }
    await expect(dials[0]?.accept({})).rejects.toMatchObject({ code: "cancelled" });
    const error = "dial tcp 10.0.0.1:80: connect: connection refused (dial 7)";
    expect(call.taken()).toEqual([{ type: "DIAL_RSP", random: 7n, connectId: 0n, error }]);
  });

  it("that comes again while it is carried out is ignored; later the id is free", async () => {
    const { call, dials } = await linked();
    call.receive({ ...order, random: 7n }, { ...order, random: 7n });
    expect(dials.length).toBe(1);
    dials[0]?.refuse(new ProxyError("refused", "refused"));
    call.receive({ ...order, random: 7n });
    expect(dials.length).toBe(2);
  });

  it("that DIAL_CLS gives up ends the attempt and is answered once, with an error", async () => {
    const { call, dials } = await linked();
    call.receive({ ...order, random: 7n }, { type: "DIAL_CLS", random: 8n }, { type: "DIAL_CLS", random: 7n });
    expect(dials[0]?.signal.reason).toMatchObject({ code: "cancelled" });
    expect(call.taken()).toMatchObject([{ type: "DIAL_RSP", random: 7n, connectId: 0n, error: /./ }]);
    await expect(dials[0]?.accept({})).rejects.toMatchObject({ code: "cancelled" });
    dials[0]?.refuse(new ProxyError("cancelled", "late"));
    expect(call.taken()).toEqual([]);
  });

  it("of a connection that stands is not touched by DIAL_CLS", async () => {
    const { call, established } = await linked();
    const { duplex } = await established(7n);
    call.receive({ type: "DIAL_CLS", random: 7n });
    await turn();
    expect(duplex.destroyed).toBe(false);
    expect(call.taken()).toEqual([]);
  });

  it("gets an id of its own, and another link gives other ids", async () => {
    const [one, other] = [await linked(), await linked()];
    const ids = [
      await one.established(1n),
      await one.established(2n),
      await one.established(3n),
      await other.established(1n),
    ].map(({ connectId }) => connectId);
    expect(new Set(ids).size).toBe(4);
    for (const id of ids) expect(id > 0n && id < 2n ** 63n).toBe(true);
  });
});

/** What proto/PROTOCOL.md says of an agent. */
describe("DATA and CLOSE_REQ", () => {
  it("of an unknown connection are answered, DATA of connection 0 is dropped", async () => {
    const { call } = await linked();
    call.receive({ type: "DATA", connectId: 0n, data: Buffer.from("x") });
    call.receive({ type: "DATA", connectId: 12345n, data: Buffer.from("x") });
    call.receive({ type: "CLOSE_REQ", connectId: 6n }, { type: "CLOSE_REQ", connectId: 0n });
    expect(call.taken()).toEqual([
      { type: "CLOSE_RSP", connectId: 12345n, error: "unrecognized connectID" },
      { type: "CLOSE_RSP", connectId: 6n, error: "Unknown connectID" },
      { type: "CLOSE_RSP", connectId: 0n, error: "Unknown connectID" },
    ]);
  });

  it("CLOSE_REQ ends what is read after its last byte; CLOSE_RSP follows when this side has closed, once", async () => {
    const { call, established } = await linked();
    const { duplex, connectId } = await established(7n);
    call.receive({ type: "DATA", connectId, data: Buffer.from("upload") }, { type: "CLOSE_REQ", connectId });
    const got = receive(duplex);
    await turn();
    expect(got.bytes.toString()).toBe("upload");
    expect(got.ended).toBe(true);
    expect(call.taken()).toEqual([]);
    duplex.end();
    await turn();
    expect(call.taken()).toEqual([{ type: "CLOSE_RSP", connectId, error: "" }]);
    call.receive({ type: "CLOSE_REQ", connectId });
    expect(call.taken()).toEqual([{ type: "CLOSE_RSP", connectId, error: "Unknown connectID" }]);
  });

  it("CLOSE_REQ of a connection whose last bytes cannot leave yet holds up no other", async () => {
    const { call, established } = await linked();
    const [closing, other] = [await established(7n), await established(8n)];
    const got = receive(other.duplex);
    call.full = true;
    closing.duplex.write("the first fills the stream");
    closing.duplex.write("the second waits for it");
    await turn();
    call.taken();
    call.receive({ type: "CLOSE_REQ", connectId: closing.connectId });
    call.receive({ type: "DATA", connectId: other.connectId, data: Buffer.from("goes on") });
    await turn();
    expect(got.bytes.toString()).toBe("goes on");
    expect(call.taken()).toEqual([]);
    expect(closing.duplex.destroyed).toBe(false);
  });

  it("an endpoint that closes is told by CLOSE_RSP after its last byte, and the connection is forgotten", async () => {
    const { call, established } = await linked();
    const { duplex, connectId } = await established(7n);
    duplex.end("last words");
    await turn();
    expect(call.taken()).toEqual([
      { type: "DATA", connectId, data: Buffer.from("last words") },
      { type: "CLOSE_RSP", connectId, error: "" },
    ]);
    call.receive({ type: "DATA", connectId, data: Buffer.from("crossing") });
    expect(call.taken()).toEqual([{ type: "CLOSE_RSP", connectId, error: "unrecognized connectID" }]);
  });

  it("resets an endpoint that has stopped reading, alone", async () => {
    const { call, clock, established } = await linked();
    const dead = await established(1n);
    const alive = await established(2n);
    const got = receive(alive.duplex);
    while (!call.paused) call.receive({ type: "DATA", connectId: dead.connectId, data: Buffer.alloc(64 * 1024) });
    call.receive({ type: "DATA", connectId: alive.connectId, data: Buffer.from("waiting") });
    clock.advance(2_250);
    await turn();
    expect(dead.duplex.errored).toMatchObject({ code: "stalled" });
    expect(got.bytes.toString()).toBe("waiting");
    expect(call.taken()).toEqual([{ type: "CLOSE_RSP", connectId: dead.connectId, error: "" }]);
  });
});

it("ignores what servers do not send, and types it does not know", async () => {
  const { call, dials, link } = await linked();
  call.receive(
    { type: "DIAL_RSP", random: 7n, connectId: 1n, error: "" },
    { type: "CLOSE_RSP", connectId: 1n, error: "" },
    { type: "DRAIN" },
  );
  call.receiveMessage(Buffer.from([0x08, 0x2a]));
  expect([dials.length, call.taken().length, link.state]).toEqual([0, 0, "ready"]);
});

it("says DRAIN once, and goes on to serve", async () => {
  const { call, link, established } = await linked();
  link.drain();
  link.drain();
  expect(link.state).toBe("draining");
  expect(call.taken()).toEqual([{ type: "DRAIN" }]);
  await established(7n);
});

describe("the link's end", () => {
  it.each([
    ["the stream is lost", "agent_lost"],
    ["this side closes it", "shutdown"],
    ["the server sends a broken packet", "protocol"],
    ["the server reads nothing", "over_limit"],
  ] as const)("ends dials and connections, and nothing is sent for them: %s", async (how, code) => {
    const { call, link, dials, established, clock } = await linked();
    const { duplex } = await established(1n);
    call.receive({ ...order, random: 7n });
    if (how === "the stream is lost") call.close({ code: GrpcCode.UNAVAILABLE, message: "gone" });
    if (how === "this side closes it") link.close(new ProxyError("shutdown", "bye"));
    if (how === "the server sends a broken packet") call.receiveMessage(Buffer.alloc(0));
    if (how === "the server reads nothing") {
      call.bufferedBytes = 9 * 1024 * 1024;
      call.receive({ type: "DATA", connectId: 404n, data: Buffer.from("x") });
      expect(call.taken().map(({ type }) => type)).toEqual(["CLOSE_RSP"]);
    }
    expect((await link.ended).code).toBe(code);
    expect(link.state).toBe("closed");
    expect(call.status).toBeDefined();
    const dial = dials.at(-1);
    expect(dial?.signal.reason).toMatchObject({ code });
    expect(duplex.errored).toMatchObject({ code });
    await expect(dial?.accept({})).rejects.toMatchObject({ code: "cancelled" });
    dial?.refuse(new ProxyError("cancelled", "late"));
    await turn();
    expect(call.taken()).toEqual([]);
    link.close(new ProxyError("shutdown", "twice"));
    link.drain();
    expect(clock.pending).toBe(0);
  });
});

import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import { frontendStreamMoves, GrpcFrontendStream } from "../../../../server/frontends/grpc-stream.ts";
import { ServerMetrics } from "../../../../server/metrics.ts";
import type { DialRequest } from "../../../../shared/dial.ts";
import { ProxyError } from "../../../../shared/errors.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import type { KnownPacket } from "../../../../shared/konnectivity/packet.ts";
import { silentLog } from "../../../../shared/log.ts";
import { expose } from "../../../../shared/metrics/registry.ts";
import { FakeServerCall } from "../../../support/fake-grpc-stream.ts";
import { receive } from "../../../support/memory-duplex.ts";
import { MetricsPage } from "../../../support/metrics-page.ts";
import { turn } from "../../../support/turn.ts";

const random = 7n;
const request: KnownPacket = { type: "DIAL_REQ", protocol: "tcp", address: "10.0.0.1:80", random };
const data = (connectId: bigint, text = "x"): KnownPacket => ({ type: "DATA", connectId, data: Buffer.from(text) });
const closeReq = (connectId: bigint): KnownPacket => ({ type: "CLOSE_REQ", connectId });
const closeRsp = (connectId: bigint, error = ""): KnownPacket => ({ type: "CLOSE_RSP", connectId, error });
const dialCls = (id: bigint): KnownPacket => ({ type: "DIAL_CLS", random: id });
const otherDial: KnownPacket = { ...request, random: 8n };

async function streamed() {
  const call = new FakeServerCall();
  const dials: DialRequest[] = [];
  const metrics = new ServerMetrics({ version: "test" });
  new GrpcFrontendStream({ call, log: silentLog, metrics, dial: (dial) => dials.push(dial) }).start();
  await turn();
  const firstDial = () => {
    const [dial] = dials;
    if (dial === undefined) throw new Error("no dial");
    return dial;
  };
  /** How many streams stand still because their reader is full, as the metrics page has it. */
  const fullCount = async () => {
    const page = new MetricsPage(await expose(metrics.registry));
    return page.sum("konnectivity_network_proxy_server_full_receive_channels", { service_method: "Proxy" });
  };
  return { call, dials, firstDial, fullCount };
}

type Streamed = Awaited<ReturnType<typeof streamed>>;

/** How a stream comes into each of its states, and the connection that it has there. */
const states = {
  idle: async () => undefined,
  dialing: async ({ call }: Streamed) => {
    call.receive(request);
    return undefined;
  },
  open: async ({ call, firstDial }: Streamed) => {
    call.receive(request);
    return (await firstDial().accept({})).duplex;
  },
  discarding: async ({ call, firstDial }: Streamed) => {
    call.receive(request);
    firstDial().refuse(new ProxyError("no_agent", "No agent available"));
    return undefined;
  },
} as const satisfies Record<string, (stream: Streamed) => Promise<Duplex | undefined>>;
type State = keyof typeof states;

interface Row {
  readonly answer?: readonly KnownPacket[];
  /** How many dials the dialer has got in all. */
  readonly dials?: number;
  /** The dial or connection of before is ended by us. */
  readonly ended?: boolean;
  /** Whether a dial can be made on the stream afterwards. */
  readonly usable?: boolean;
}

const refused: KnownPacket = {
  type: "DIAL_RSP",
  random: 8n,
  connectId: 0n,
  error: "this stream has a dial already (dial 8)",
};

/** What proto/PROTOCOL.md says: every packet in every state. */
const table: readonly (readonly [State, string, KnownPacket, Row])[] = [
  ["idle", "DIAL_REQ", request, { dials: 1 }],
  ["idle", "DATA", data(5n), { answer: [closeRsp(5n, "backend not initialized")] }],
  ["idle", "DATA of connection 0", data(0n), { usable: true }],
  ["idle", "CLOSE_REQ", closeReq(5n), { answer: [closeRsp(5n, "backend uninitialized")], usable: true }],
  ["idle", "DIAL_CLS", dialCls(random), { usable: true }],
  ["idle", "DRAIN", { type: "DRAIN" }, { usable: true }],
  ["idle", "CLOSE_RSP", closeRsp(5n), { usable: true }],

  ["dialing", "another DIAL_REQ", otherDial, { answer: [refused], dials: 1 }],
  ["dialing", "the same DIAL_REQ", request, { dials: 1 }],
  ["dialing", "DATA", data(5n), { answer: [closeRsp(5n, "unrecognized connectID")], dials: 1 }],
  ["dialing", "DATA of connection 0", data(0n), { dials: 1 }],
  ["dialing", "CLOSE_REQ", closeReq(5n), { answer: [closeRsp(5n, "Unknown connectID")], dials: 1, ended: true }],
  ["dialing", "its DIAL_CLS", dialCls(random), { dials: 1, ended: true, usable: true }],
  ["dialing", "another DIAL_CLS", dialCls(8n), { dials: 1 }],
  ["dialing", "DIAL_RSP", { type: "DIAL_RSP", random, connectId: 1n, error: "" }, { dials: 1 }],

  ["open", "another DIAL_REQ", otherDial, { answer: [refused], dials: 1 }],
  ["open", "the same DIAL_REQ", request, { dials: 1 }],
  ["open", "DATA", data(random), { dials: 1 }],
  ["open", "DATA of connection 0", data(0n), { dials: 1 }],
  [
    "open",
    "DATA of another connection",
    data(5n),
    {
      answer: [closeRsp(5n, "mismatched connection IDs"), closeRsp(random, "mismatched connection IDs")],
      dials: 1,
      ended: true,
    },
  ],
  ["open", "CLOSE_REQ of another connection", closeReq(5n), { answer: [closeRsp(5n, "Unknown connectID")], dials: 1 }],
  ["open", "its DIAL_CLS", dialCls(random), { dials: 1, ended: true }],
  ["open", "another DIAL_CLS", dialCls(8n), { dials: 1 }],
  ["open", "DRAIN", { type: "DRAIN" }, { dials: 1 }],

  ["discarding", "DIAL_REQ", otherDial, { dials: 1 }],
  ["discarding", "DATA", data(5n), { dials: 1 }],
  ["discarding", "CLOSE_REQ", closeReq(5n), { dials: 1 }],
  ["discarding", "DIAL_CLS", dialCls(random), { dials: 1 }],
];

it.each(table)("%s: %s", async (state, _name, packet, { answer = [], dials = 0, ended = false, usable = false }) => {
  const stream = await streamed();
  const duplex = await states[state](stream);
  stream.call.taken();
  stream.call.receive(packet);
  await turn();
  expect(stream.call.taken()).toEqual(answer);
  expect(stream.dials.length).toBe(dials);
  if (state === "dialing") expect(stream.firstDial().signal.aborted).toBe(ended);
  if (duplex !== undefined) expect(duplex.destroyed).toBe(ended);
  expect(stream.call.status).toBeUndefined();
  stream.call.receive({ ...request, random: 99n });
  expect(stream.dials.length).toBe(usable ? dials + 1 : dials);
});

it("every state stands in the table", () => {
  expect(new Set(table.map(([state]) => state))).toEqual(new Set(Object.keys(frontendStreamMoves)));
});

describe("a connection", () => {
  it("is answered with the dial's own number as its id, and carries bytes both ways", async () => {
    const stream = await streamed();
    const { call } = stream;
    const duplex = await states.open(stream);
    expect(call.taken()).toEqual([{ type: "DIAL_RSP", random, connectId: random, error: "" }]);
    call.receive(data(random, "request"));
    const got = receive(duplex);
    duplex.write("answer");
    await turn();
    expect(got.bytes.toString()).toBe("request");
    expect(call.taken()).toEqual([data(random, "answer")]);
  });

  it("of a dial with number 0 gets an id that is not 0", async () => {
    const stream = await streamed();
    stream.call.receive({ ...request, random: 0n });
    await stream.firstDial().accept({});
    expect(stream.call.taken()).toEqual([{ type: "DIAL_RSP", random: 0n, connectId: 1n, error: "" }]);
  });

  it("closed by CLOSE_REQ is answered once, after the bytes that were written before", async () => {
    const stream = await streamed();
    const { call } = stream;
    const duplex = await states.open(stream);
    call.taken();
    call.receive(data(random, "last"), closeReq(random), closeReq(random), data(random, "too late"));
    const got = receive(duplex);
    await turn();
    expect(got.bytes.toString()).toBe("last");
    expect(got.ended).toBe(true);
    duplex.end();
    await turn();
    expect(duplex.destroyed).toBe(true);
    expect(call.taken()).toEqual([closeRsp(random)]);
    call.receive(closeReq(random), data(random), request);
    expect(call.taken()).toEqual([]);
  });

  it("closed by the endpoint tells the client after the last byte; what the client still sends is dropped", async () => {
    const stream = await streamed();
    const { call } = stream;
    const duplex = await states.open(stream);
    call.taken();
    duplex.end("good-bye");
    await turn();
    expect(call.taken()).toEqual([data(random, "good-bye"), closeRsp(random)]);
    // The client forgets the connection with that answer, so this end of it is over too.
    duplex.resume();
    await turn();
    expect(duplex.destroyed).toBe(true);
    call.receive(data(random), closeReq(random));
    expect(call.taken()).toEqual([]);
  });

  it("that breaks tells the client by CLOSE_RSP", async () => {
    const stream = await streamed();
    const duplex = await states.open(stream);
    stream.call.taken();
    duplex.destroy(new ProxyError("agent_lost", "lost"));
    await turn();
    expect(stream.call.taken()).toEqual([closeRsp(random)]);
  });

  it("pauses its stream when its reader is full, and goes on when that has room", async () => {
    const stream = await streamed();
    const { call } = stream;
    const duplex = await states.open(stream);
    let sent = 0;
    while (!call.paused) {
      call.receive({ type: "DATA", connectId: random, data: Buffer.alloc(32 * 1024) });
      sent += 32 * 1024;
    }
    expect(sent).toBeLessThan(512 * 1024);
    expect(await stream.fullCount()).toBe(1);
    const got = receive(duplex);
    await turn();
    expect(call.paused).toBe(false);
    expect(got.bytes.length).toBe(sent);
    expect(await stream.fullCount()).toBe(0);
  });
});

describe("an answer to a dial", () => {
  it.each([
    [new ProxyError("no_agent", "No agent available"), "No agent available"],
    [new ProxyError("dial_timeout", "timed out waiting for backend dial"), "timed out waiting for backend dial"],
    [new ProxyError("refused", "connection refused (dial 7)", { reportedBy: "agent" }), "connection refused (dial 7)"],
    [new ProxyError("agent_lost", "the agent was lost"), "the agent was lost (dial 7)"],
  ])("refuses in the contract's words, ours with the dial's number: %s", async (error, text) => {
    const stream = await streamed();
    stream.call.receive(request);
    stream.firstDial().refuse(error);
    stream.firstDial().refuse(error);
    expect(stream.call.taken()).toEqual([{ type: "DIAL_RSP", random, connectId: 0n, error: text }]);
  });

  it("that comes after DIAL_CLS reaches nobody, not even a second dial on the same stream", async () => {
    const stream = await streamed();
    const { call, dials } = stream;
    call.receive(request, dialCls(random), otherDial);
    expect(dials.length).toBe(2);
    await expect(stream.firstDial().accept({})).rejects.toMatchObject({ code: "cancelled" });
    stream.firstDial().refuse(new ProxyError("cancelled", "late"));
    expect(call.taken()).toEqual([]);
    expect(dials[1]?.signal.aborted).toBe(false);
  });

  it.each(["dialing", "open"] as const)("is not sent once the client has gone: %s", async (state) => {
    const stream = await streamed();
    const duplex = await states[state](stream);
    stream.call.taken();
    stream.call.close({ code: GrpcCode.CANCELLED, message: "" });
    await turn();
    if (duplex === undefined) expect(stream.firstDial().signal.reason).toMatchObject({ code: "cancelled" });
    else expect(duplex.errored).toMatchObject({ code: "cancelled" });
    await expect(stream.firstDial().accept({})).rejects.toMatchObject({ code: "cancelled" });
    stream.firstDial().refuse(new ProxyError("agent_lost", "late"));
    expect(stream.call.taken()).toEqual([]);
  });
});

describe("the stream's end", () => {
  it.each(["idle", "dialing", "open", "discarding"] as const)(
    "by the client's half-close gives all up: %s",
    async (state) => {
      const stream = await streamed();
      const duplex = await states[state](stream);
      stream.call.receiveEnd();
      await turn();
      expect(stream.call.status).toEqual({ code: GrpcCode.OK, message: "" });
      if (state === "dialing") expect(stream.firstDial().signal.aborted).toBe(true);
      if (duplex !== undefined) expect(duplex.destroyed).toBe(true);
    },
  );

  it.each(["idle", "dialing", "open", "discarding"] as const)(
    "by a broken packet is this stream's alone: %s",
    async (state) => {
      const stream = await streamed();
      const duplex = await states[state](stream);
      stream.call.receiveMessage(Buffer.from([0x08, 0x04]));
      await turn();
      expect(stream.call.status?.code).toBe(GrpcCode.INVALID_ARGUMENT);
      if (state === "dialing") expect(stream.firstDial().signal.reason).toMatchObject({ code: "protocol" });
      if (duplex !== undefined) expect(duplex.errored).toMatchObject({ code: "protocol" });
    },
  );

  it("by a client that asks and never reads", async () => {
    const stream = await streamed();
    stream.call.bufferedBytes = 9 * 1024 * 1024;
    stream.call.receive(closeReq(5n));
    expect(stream.call.status?.code).toBe(GrpcCode.RESOURCE_EXHAUSTED);
  });
});

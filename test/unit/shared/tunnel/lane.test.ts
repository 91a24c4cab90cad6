import { finished } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { ProxyError } from "../../../../shared/errors.ts";
import { Lane, type LaneOwner } from "../../../../shared/tunnel/lane.ts";
import type { LaneDuplex } from "../../../../shared/tunnel/lane-duplex.ts";
import { encodeLaneMessage } from "../../../../shared/tunnel/messages.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { streamPair } from "../../../support/stream-pair.ts";
import { turn } from "../../../support/turn.ts";

const order = { dialId: 1n, address: "10.0.0.1:80", remainingMs: 1000, protocol: "tcp" };
const noMeter = { sent() {}, received() {}, sendFailed() {}, receiveFailed() {} };

/** Both ends of one lane, and what each was told. */
function lanePair(answer: (agent: Lane) => LaneDuplex | undefined = (agent) => agent.accept("10.0.0.1:80")) {
  const [serverStream, agentStream] = streamPair();
  const clock = new FakeClock();
  const told: string[] = [];
  const ends: { server?: LaneDuplex; agent?: LaneDuplex } = {};
  const owner = (who: string, more: Partial<LaneOwner>): LaneOwner => ({
    onIdle: () => told.push(`${who} idle`),
    onEnd: () => told.push(`${who} end`),
    onBroken: (error) => told.push(`${who} broken: ${error.message}`),
    onClose: () => told.push(`${who} closed`),
    ...more,
  });
  const server: Lane = new Lane(serverStream, {
    role: "server",
    clock,
    meter: noMeter,
    owner: owner("server", {
      onDialed: (_answer, duplex) => {
        ends.server = duplex;
      },
      onRefused: ({ code, text }) => told.push(`refused ${code}: ${text}`),
      onStuck: () => told.push("server stuck"),
    }),
  });
  const agent: Lane = new Lane(agentStream, {
    role: "agent",
    clock,
    meter: noMeter,
    owner: owner("agent", {
      onDial: () => {
        const duplex = answer(agent);
        if (duplex !== undefined) ends.agent = duplex;
      },
      onDialReset: (error) => told.push(`dial reset: ${error.code}`),
    }),
  });
  server.start();
  agent.start();
  /** Lets everything through that is not held up. */
  const settle = async () => {
    do await turn();
    while ([serverStream.deliverOne(), agentStream.deliverOne()].includes(true));
  };
  const connected = async () => {
    server.dial(order);
    await settle();
    if (ends.server === undefined || ends.agent === undefined) throw new Error("no connection");
    return { atServer: ends.server, atAgent: ends.agent };
  };
  return { serverStream, agentStream, server, agent, clock, told, settle, connected };
}

const textOf = (duplex: LaneDuplex) => {
  const parts: Buffer[] = [];
  duplex.on("data", (chunk: Buffer) => parts.push(chunk));
  return () => Buffer.concat(parts).toString();
};

describe("a lane", () => {
  it("carries bytes both ways, half-closes each way on its own, and is used again", async () => {
    const pair = lanePair();
    for (const round of [1, 2, 3]) {
      pair.told.length = 0;
      const { atServer, atAgent } = await pair.connected();
      const [atServerText, atAgentText] = [textOf(atServer), textOf(atAgent)];
      atServer.end(`request ${round}`);
      await pair.settle();
      expect([atAgentText(), atAgent.readableEnded, pair.server.state]).toEqual([`request ${round}`, true, "ended"]);
      atAgent.write("answer ");
      atAgent.end(`${round}`);
      await pair.settle();
      expect([atServerText(), atServer.readableEnded]).toEqual([`answer ${round}`, true]);
      expect(pair.told).toEqual(["agent idle", "server idle"]);
    }
  });

  it("refuses a dial with code and text, and is used again", async () => {
    const pair = lanePair((agent) => {
      agent.refuse(new ProxyError("refused", "connection refused"));
      return undefined;
    });
    for (let round = 0; round < 2; round++) {
      pair.server.dial(order);
      await pair.settle();
    }
    expect(pair.told).toEqual(
      Array(2).fill(["agent idle", "refused refused: connection refused", "server idle"]).flat(),
    );
  });

  it("resets both ways: the other end hears the code, and what was under way is dropped", async () => {
    for (const resetting of ["atServer", "atAgent"] as const) {
      const pair = lanePair();
      const ends = await pair.connected();
      const other = ends[resetting === "atServer" ? "atAgent" : "atServer"];
      const failed = finished(other).catch((error: ProxyError) => error);
      other.write("never read");
      ends[resetting].destroy(new ProxyError("idle", "silent for too long"));
      await pair.settle();
      expect(await failed).toMatchObject({ code: "idle" });
      expect([pair.server.state, pair.agent.state]).toEqual(["idle", "idle"]);
    }
  });

  it("R-3.2: a cancel that crosses the answer leaves no connection, whichever comes first", async () => {
    const pair = lanePair();
    for (const answeredFirst of [true, false]) {
      pair.server.dial(order);
      if (answeredFirst) pair.agentStream.deliverOne();
      pair.server.cancel("cancelled");
      await pair.settle();
      expect([pair.server.state, pair.agent.state]).toEqual(["idle", "idle"]);
    }
  });

  it("holds the sender up when its reader stops, and loses nothing when it goes on", async () => {
    const pair = lanePair();
    const { atServer, atAgent } = await pair.connected();
    const block = Buffer.alloc(64 * 1024, "x");
    let written = 0;
    for (; !atAgent.writableNeedDrain && written < 100; written++) {
      atAgent.write(block);
      await pair.settle();
    }
    expect(pair.serverStream.paused).toBe(true);
    expect(written).toBeLessThan(10);
    const text = textOf(atServer);
    atAgent.end();
    await pair.settle();
    expect(text().length).toBe(written * block.length);
    expect(atServer.readableEnded).toBe(true);
  });

  it("splits what is longer than a message may be", async () => {
    const pair = lanePair();
    const { atServer, atAgent } = await pair.connected();
    const text = textOf(atServer);
    atAgent.write("y".repeat(1_000_000));
    await pair.settle();
    expect(text()).toBe("y".repeat(1_000_000));
  });

  it("tells its owner when a reset is not answered, since it waits behind data that nobody reads", async () => {
    const pair = lanePair();
    const { atServer } = await pair.connected();
    pair.agentStream.pause();
    atServer.destroy();
    await pair.settle();
    pair.clock.advance(1_999);
    expect(pair.told).not.toContain("server stuck");
    pair.clock.advance(1);
    expect(pair.told).toContain("server stuck");
  });

  it("takes its connection down when the call is lost", async () => {
    const pair = lanePair();
    const { atServer, atAgent } = await pair.connected();
    const failures = [atServer, atAgent].map((end) => finished(end).catch((error: ProxyError) => error.code));
    pair.serverStream.close();
    pair.agentStream.close();
    expect(await Promise.all(failures)).toEqual(["agent_lost", "agent_lost"]);
    expect(pair.told.slice(-2)).toEqual(["server closed", "agent closed"]);
  });

  it.each([
    ["data before the answer", { type: "data", data: Buffer.from("x") } as const],
    ["an end before the answer", { type: "end", turn: 1 } as const],
    ["an answer of a turn that has not begun", { type: "dialed", turn: 2, reached: "" } as const],
  ])("breaks on %s", async (_name, message) => {
    const pair = lanePair(() => undefined);
    pair.server.dial(order);
    pair.agentStream.send(...encodeLaneMessage(message));
    await pair.settle();
    expect(pair.told.join()).toMatch(/^server broken: /);
  });

  it("breaks on a message over the limit and on bytes that are none", async () => {
    for (const bytes of [Buffer.alloc(200_000), Buffer.from([0xff])]) {
      const pair = lanePair();
      pair.agentStream.send(bytes);
      await pair.settle();
      expect(pair.told.join()).toMatch(/^server broken: /);
    }
  });
});

import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, serve } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { startAgent } from "../support/processes.ts";
import type { Scene } from "../support/scene.ts";
import { seededBytes } from "../support/seeded-bytes.ts";
import { inSoak } from "../support/soak.ts";
import { Standstill } from "../support/standstill.ts";
import { openConnection } from "../support/transfers.ts";
import { until } from "../support/until.ts";
import { links, protocols, useFaultScene } from "./fault-scene.ts";
import { type Cut, type Direction, type RecordCounts, RecordRelay } from "./record-relay.ts";
import { inTurn } from "./repeat.ts";

/** R-2.5's second. */
const noticedWithinMs = 1_000;
const relinkedWithinMs = 10_000;
const timeout = inSoak(120_000, 1_800_000);

/** What a client says, piece by piece: the next one follows when the echo of the last has come. */
const pieces = [20, 300, 4_000, 64 * 1024].map((length, index) => Buffer.concat([...seededBytes(index + 1, length)]));
const said = Buffer.concat(pieces);
/** A dial, three small messages and four records' worth of data, each with its answer. */
const leastRecords = 8;

type Protocol = (typeof protocols)[number];
/** The link was lost with the dial on it, or just before. */
const cleanRefusals = {
  grpc: / was lost \(dial \d+\)$|^No agent available$/,
  connect: /^HTTP\/1.1 (502 Bad Gateway\r\n|500 .*No agent available$)/s,
} as const satisfies Record<Protocol, RegExp>;
/** How far a talk came. */
type Stage = "dialing" | "talking" | "over";

const directions: readonly Direction[] = ["toServer", "toAgent"];
const everyWay: readonly Pick<Cut, "bytes" | "how">[] = ([0, 1, -1] as const).flatMap((bytes) =>
  (["reset", "end"] as const).map((how) => ({ bytes, how })),
);

/** In a soak every way; else, by turns, one right behind the record and one of the four within a record. */
const waysAt = (record: number) =>
  everyWay.filter((_, index) => inSoak(index === record % 2 || index === 2 + (record % 4), true));

/** Cuts at every so many of these records. */
function cutsOf(counts: RecordCounts, every = 1): Cut[] {
  return directions.flatMap((direction) =>
    Array.from({ length: Math.ceil(counts[direction] / every) }, (_, index) => index).flatMap((index) =>
      waysAt(index).map((way) => ({ ...way, direction, records: index * every + (way.bytes === 0 ? 1 : 0) })),
    ),
  );
}

describe.each(links)("a link is cut; by $link", ({ agentFlags }) => {
  let scene: Scene;
  let relay: RecordRelay;
  let echo: Endpoint;
  /** Where the agents came from that the server says are linked. */
  const linkedFrom = new Set<string>();
  /** What went wrong at an endpoint. */
  const wrongs: string[] = [];

  useFaultScene({ agentFlags }, (started) => {
    scene = started;
  });
  beforeAll(async () => {
    const { workspace, server, agents } = scene.tunnel;
    echo = await strictEcho(wrongs);
    relay = await RecordRelay.start(server.agentPort);
    server.follow((line) => {
      if (line.includes('"agent linked"')) linkedFrom.add(JSON.parse(line).peer);
    });
    // The scene's own agent gives way to one behind the relay, which loses no time before it links again.
    for (const agent of [...agents]) scene.tunnel.killAgent(agent);
    await scene.tunnel.serverCounts(0);
    const flags = [...agentFlags, "--sync-interval=10ms", "--sync-interval-cap=50ms"];
    const agentPort = relay.port;
    agents.push(await startAgent({ implementation: "hawser", workspace, agentPort, agentId: "behind-relay", flags }));
    await recovers();
  });
  afterAll(async () => {
    await relay.stop();
    await echo.close();
  });

  /** Dials, talks and hangs up; a failure has to be one that a client understands, and what it hears what it said. */
  async function talk(protocol: Protocol): Promise<Stage> {
    const dialed = await openConnection(scene.tunnel, echo.address, protocol).catch((error: Error) => error);
    if (dialed instanceof Error) {
      expect(dialed.message).toMatch(cleanRefusals[protocol]);
      return "dialing";
    }
    const { duplex, close } = dialed;
    try {
      for (const piece of pieces) {
        duplex.write(piece);
        const heard = await readBytes(duplex, piece.length);
        expect(heard.equals(piece.subarray(0, heard.length)), "an echo of what was said").toBe(true);
        if (heard.length < piece.length) return "talking";
      }
      duplex.end();
      expect(await readBytes(duplex, 1)).toHaveLength(0);
      return "over";
    } finally {
      await close();
    }
  }

  const linked = () => linkedFrom.has(relay.agentAddress ?? "");

  /** Resolves when the agent has a link that was not cut, and the next dial has gone through. */
  async function recovers(): Promise<void> {
    const describe = () => scene.tunnel.describe();
    await until("the agent to link again", linked, { withinMs: relinkedWithinMs, describe });
    expect(await talk("grpc")).toBe("over");
    expect(wrongs).toEqual([]);
  }

  /** The next link may come from a port that another has had. */
  function arm(cut?: Cut): void {
    linkedFrom.clear();
    relay.arm(cut);
  }

  /** Resolves to how far the talk came, and when it ended, from the cut. */
  async function cutTalk(cut: Cut, protocol: Protocol) {
    arm(cut);
    const stage = await talk(protocol);
    const endedAt = performance.now();
    // A talk with fewer records than the one that was counted is cut behind its end.
    const endedMs = endedAt - relay.cutNow(cut.how);
    await recovers();
    return { cut, stage, endedMs };
  }

  /** Resolves to the records of a set-up as far as it came. */
  async function cutSetUp(cut?: Cut): Promise<RecordCounts> {
    relay.arm();
    relay.cutNow("reset");
    arm(cut);
    await until("the agent to link, or the cut", () => relay.isCut || linked(), { withinMs: relinkedWithinMs });
    const { counts } = relay;
    relay.cutNow("reset");
    await recovers();
    return counts;
  }

  test.each(protocols)(
    "R-2.5: at each record of a talk by %s: that ends within 1 s, with no wrong byte and no false end",
    {
      timeout,
    },
    async (protocol) => {
      relay.arm();
      expect(await talk(protocol)).toBe("over");
      const { counts } = relay;
      expect(Math.min(counts.toServer, counts.toAgent)).toBeGreaterThanOrEqual(leastRecords);
      const standstill = new Standstill();
      const talks: Awaited<ReturnType<typeof cutTalk>>[] = [];
      await inTurn(cutsOf(counts), async (cut) => talks.push(await cutTalk(cut, protocol)));
      // What comes besides, as windows that grow, may let a cut fall before the talk or behind it; not most of them.
      const cutOff = talks.filter(({ stage }) => stage !== "over");
      expect(cutOff.length).toBeGreaterThan(talks.length / 2);
      const [slowest] = cutOff.sort((one, other) => other.endedMs - one.endedMs);
      const slowestMs = (slowest?.endedMs ?? 0) - (await standstill.end());
      expect(slowestMs, JSON.stringify(slowest)).toBeLessThan(noticedWithinMs);
    },
  );

  test("at each record of its set-up: the agent links again, and the next dial works", { timeout }, async () => {
    const counts = await cutSetUp();
    await inTurn(cutsOf(counts, inSoak(5, 1)), cutSetUp);
  });
});

/** Echoes what is said here, and tells of bytes that were not, and of an end before all has come. */
function strictEcho(wrongs: string[]): Promise<Endpoint> {
  return serve(async (socket) => {
    let heard = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
      if (!heard.equals(said.subarray(0, heard.length))) wrongs.push("an endpoint got what nobody said");
    });
    socket.once("end", () => {
      // One whose dial was given up before it stood is closed unused.
      if (heard.length > 0 && heard.length < said.length) wrongs.push(`an endpoint's end came at byte ${heard.length}`);
    });
    await pipeline(socket, socket);
  });
}

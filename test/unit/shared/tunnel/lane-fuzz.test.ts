import fc from "fast-check";
import { expect, it } from "vitest";
import { ProxyError } from "../../../../shared/errors.ts";
import { Lane, type LaneOwner } from "../../../../shared/tunnel/lane.ts";
import type { LaneDuplex } from "../../../../shared/tunnel/lane-duplex.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { streamPair } from "../../../support/stream-pair.ts";
import { turn } from "../../../support/turn.ts";

const noMeter = { sent() {}, received() {}, sendFailed() {}, receiveFailed() {} };

/** One thing that happens: at which end, and what. Numbers choose sizes. */
const anyStep = fc.oneof(
  { weight: 3, arbitrary: fc.record({ what: fc.constant("deliver" as const), atServer: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("dial" as const), atServer: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("cancel" as const), atServer: fc.constant(true) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("answer" as const), atServer: fc.constant(false) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("refuse" as const), atServer: fc.constant(false) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant("write" as const), atServer: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("end" as const), atServer: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("destroy" as const), atServer: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("turn" as const), atServer: fc.boolean() }) },
);

/** A connection as one end has it: what was written here, and what came. */
interface Half {
  readonly duplex: LaneDuplex;
  written: string;
  read: string;
}

it("R-3.1: whatever the order of acts and arrivals, bytes stay in order and in their turn, and both ends come to rest", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 80 }), async (steps) => {
      const [serverStream, agentStream] = streamPair();
      const clock = new FakeClock();
      const halves: { server: Half[]; agent: Half[] } = { server: [], agent: [] };
      const broken: string[] = [];
      let dialing = false;
      let byte = 0;
      const open = (side: "server" | "agent", duplex: LaneDuplex) => {
        const half: Half = { duplex, written: "", read: "" };
        duplex.on("data", (chunk: Buffer) => {
          half.read += chunk.toString();
        });
        halves[side].push(half);
      };
      const owner = (more: Partial<LaneOwner>): LaneOwner => ({
        onIdle: () => {},
        onEnd: () => {},
        onBroken: (error) => broken.push(error.message),
        onClose: () => {},
        ...more,
      });
      const deps = { clock, meter: noMeter };
      const server = new Lane(serverStream, {
        ...deps,
        role: "server",
        owner: owner({ onDialed: (_answer, duplex) => open("server", duplex) }),
      });
      const agent = new Lane(agentStream, {
        ...deps,
        role: "agent",
        owner: owner({
          onDial: () => {
            dialing = true;
          },
          onDialReset: () => {
            dialing = false;
          },
        }),
      });
      server.start();
      agent.start();
      for (const { what, atServer } of steps) {
        const half = (atServer ? halves.server : halves.agent).at(-1);
        if (what === "deliver") (atServer ? serverStream : agentStream).deliverOne();
        else if (what === "turn") await turn();
        else if (what === "dial" && server.state === "idle") {
          server.dial({ dialId: 1n, address: "a:1", remainingMs: 1, protocol: "tcp" });
        } else if (what === "cancel" && server.state === "dialing") server.cancel("cancelled");
        else if (what === "answer" && dialing) {
          dialing = false;
          open("agent", agent.accept("a:1"));
        } else if (what === "refuse" && dialing) {
          dialing = false;
          agent.refuse(new ProxyError("dns", "no such host"));
        } else if (half !== undefined && !half.duplex.destroyed && half.duplex.writable) {
          if (what === "write") {
            const text = `${atServer ? "s" : "a"}${halves.agent.length}.${byte++};`;
            half.written += text;
            half.duplex.write(text);
          } else if (what === "end") half.duplex.end();
          else if (what === "destroy") half.duplex.destroy();
        }
      }
      // What still comes about, such as a dial on its way, is brought to its end, too.
      for (let round = 0; round < 3; round++) {
        if (dialing) agent.refuse(new ProxyError("dns", "no such host"));
        dialing = false;
        for (const { duplex } of [...halves.server, ...halves.agent]) duplex.end();
        do await turn();
        while ([serverStream.deliverOne(), agentStream.deliverOne()].includes(true));
      }

      expect(broken).toEqual([]);
      expect([server.state, agent.state]).toEqual(["idle", "idle"]);
      for (const half of halves.server) {
        // The two halves of a turn know each other by what they carry; a server that gave up may have none.
        const other = halves.agent.find(
          ({ read, written }) => written.startsWith(half.read) && half.written.startsWith(read),
        );
        expect(other).toBeDefined();
      }
      for (const { read } of halves.agent)
        expect(halves.server.some(({ written }) => written.startsWith(read)) || read === "").toBe(true);
    }),
    { numRuns: 3_000 },
  );
}, 120_000);

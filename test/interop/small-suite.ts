import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusingAddress } from "../support/endpoints.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { isWanted, nameOf, type Pairing } from "./cells.ts";
import { usualClient } from "./client-programs.ts";
import { type Differences, differencesOf } from "./differences.ts";
import { GoEndpoints } from "./go-endpoints.ts";
import { HeldConnections } from "./held-connections.ts";
import { type Baseline, baselineOf, untilQuiet } from "./quiet.ts";
import {
  type ChurnResult,
  type DialResult,
  type Outcome,
  type ReadToEndResult,
  runClient,
  type TransferResult,
  tryClient,
} from "./tunnel-client.ts";

const transferBytes = 16 * 1024 ** 2;
const heldCount = 50;
const dialCount = 300;
const closingCount = 20;
/** Held by an agent that is to go. */
const fewConnections = 8;
// An agent gives up a connect after 5 s, and says so well before kube-apiserver's own limit of 30 s.
const unansweredSeconds = { least: 4.5, most: 9 };

/** Puts each pairing through every behaviour in a few seconds, the last of which cost it its agent. */
export function describeSmall(pairings: readonly Pairing[]): void {
  let endpoints: GoEndpoints;
  beforeAll(async () => {
    endpoints = await GoEndpoints.start();
  });
  afterAll(() => endpoints.stop());
  for (const pairing of pairings) {
    describe.runIf(isWanted(pairing))(nameOf(pairing), () => everyBehaviour(pairing, () => endpoints.addresses));
  }

  function everyBehaviour(pairing: Pairing, addresses: () => GoEndpoints["addresses"]): void {
    const { client = usualClient } = pairing;
    const differences = differencesOf(pairing);
    let tunnel: Tunnel;
    let baseline: Baseline;
    let unansweredDial: Promise<Outcome<DialResult>>;
    const run = <T>(command: string, args: readonly string[]) => runClient<T>(tunnel, command, args, client);
    const hold = (count: number) => HeldConnections.open(tunnel, addresses().echo, count, client);
    const dial = (target: string) => tryClient<DialResult>(tunnel, "dial", [`--target=${target}`], client);

    beforeAll(async () => {
      tunnel = await Tunnel.start(pairing);
      await run<ChurnResult>("churn", [`--target=${addresses().echo}`, "--dials=64"]);
      baseline = await baselineOf(tunnel, endpoints);
      // It takes seconds, during which all else has to go on as if it were not there.
      unansweredDial = dial(addresses().unanswering);
      unansweredDial.catch(() => {});
    });
    afterAll(() => tunnel?.stop());

    test("bytes move both ways at once and arrive unchanged", async () => {
      const sizes = [`--bytes=${transferBytes}`, "--direction=both", "--connections=4"];
      const result = await run<TransferResult>("transfer", [`--target=${addresses().transfer}`, ...sizes]);
      expect(result).toMatchObject({ digestsEqual: 4, bytesUp: transferBytes, bytesDown: transferBytes });
    });

    test(`${heldCount} connections are open at once, answer, and are closed by the client`, async () => {
      const held = await hold(heldCount);
      try {
        expect(await held.echo()).toEqual({ answered: heldCount, failed: 0, ended: 0 });
        await held.close();
      } finally {
        await held.stop();
      }
    });

    test(`${closingCount} endpoints that close are read to their last byte`, async () => {
      const sizes = [`--connections=${closingCount}`];
      const result = await run<ReadToEndResult>("read-to-end", [`--target=${addresses().closing}`, ...sizes]);
      expect(result).toEqual({ connections: closingCount, complete: closingCount });
    });

    test("dials that fail say why, and leave nothing behind", async () => {
      const refused = await dial(await refusingAddress());
      expectFailure(refused, pairing, differences, { status: 502, text: "connection refused" });
      // Not a name at all, so that no resolver is asked for it.
      const unknown = await dial("no..such:80");
      expectFailure(unknown, pairing, differences, { status: 502, text: "no such host" });
      const unanswered = await unansweredDial;
      expectFailure(unanswered, pairing, differences, { status: 504, text: "i/o timeout" });
      if (differences.answersBeforeDial === undefined) {
        expect(unanswered.result?.seconds).toBeGreaterThan(unansweredSeconds.least);
        expect(unanswered.result?.seconds).toBeLessThan(unansweredSeconds.most);
      }
      await untilQuiet(tunnel, endpoints, baseline);
    });

    const churnTitle = differences.leaksAbandoned ?? "leave nothing behind";
    test(`${dialCount} dials, a third of them cancelled: ${churnTitle}`, async () => {
      const sizes = [`--dials=${dialCount}`, "--parallel=32", "--cancel-fraction=0.33"];
      const result = await run<ChurnResult>("churn", [`--target=${addresses().echo}`, ...sizes]);
      expect(result.failed).toBe(0);
      expect(result.echoed + result.cancelled + result.tooLate).toBe(dialCount);
      expect(result.cancelled + result.tooLate).toBeGreaterThan(dialCount / 10);
      if (differences.leaksAbandoned === undefined) {
        await untilQuiet(tunnel, endpoints, baseline);
      } else {
        // How many stay is a matter of luck: a client that has closed its TCP socket may still be written to.
        await until("no pending dial", async () => (await tunnel.server.metric("pending_backend_dials")) === 0, {
          withinMs: 5_000,
          describe: () => tunnel.describe(),
        });
      }
    });

    test("an agent that is killed takes its connections along; the next one is used", async () => {
      const held = await hold(fewConnections);
      try {
        // A server that answers before it dials holds some for open that are not yet.
        expect(await held.echo()).toEqual({ answered: fewConnections, failed: 0, ended: 0 });
        const [victim] = tunnel.agents;
        if (victim === undefined) throw new Error("an agent was to be there");
        tunnel.killAgent(victim);
        await allEnd(held);
        await tunnel.serverCounts(0);
        const none = { status: 500, text: /no agent available/i };
        expectFailure(await dial(addresses().echo), pairing, differences, none);
        await tunnel.addAgent();
        await run<ChurnResult>("churn", [`--target=${addresses().echo}`, "--dials=4"]);
        await held.close();
      } finally {
        await held.stop();
      }
    });

    const drained = differences.agentStopsAtOnce ?? differences.ignoresDrain;
    const drainTitle = drained === undefined ? "keeps its connections and gets no new ones" : `differs: ${drained}`;
    test(`an agent that is drained by SIGTERM ${drainTitle}`, async () => {
      const held = await hold(fewConnections);
      try {
        expect(await held.echo()).toEqual({ answered: fewConnections, failed: 0, ended: 0 });
        const [leaving] = tunnel.agents;
        await tunnel.addAgent();
        if (leaving === undefined) throw new Error("an agent was to be there");
        leaving.kill("SIGTERM");
        if (differences.agentStopsAtOnce !== undefined) {
          await leaving.exited;
          tunnel.agents.splice(tunnel.agents.indexOf(leaving), 1);
          await tunnel.serverCounts(1);
          await allEnd(held);
          expect(await held.echo()).toEqual({ answered: 0, failed: 0, ended: fewConnections });
        } else {
          expect(await held.echo()).toEqual({ answered: fewConnections, failed: 0, ended: 0 });
          if (differences.ignoresDrain === undefined) await noneGoTo(leaving);
          else await someGoTo(leaving);
        }
        await run<ChurnResult>("churn", [`--target=${addresses().echo}`, "--dials=8"]);
        await held.close();
      } finally {
        await held.stop();
      }
    });

    /** Resolves when the client knows of the end of the few that were held. */
    function allEnd(held: HeldConnections): Promise<unknown> {
      const describe = () => `${held.endedCount} have ended\n${tunnel.describe()}`;
      return until("its connections to end", () => held.endedCount === fewConnections, { withinMs: 5_000, describe });
    }

    /** Resolves if this agent, which holds some, gets one of 32 more, as of two that are equal it does but for once in billions. */
    async function someGoTo(agent: Tunnel["agents"][number]): Promise<void> {
      const held = await hold(32);
      try {
        expect(await agent.metric("open_endpoint_connections")).toBeGreaterThan(fewConnections);
        await held.close();
      } finally {
        await held.stop();
      }
    }

    /**
     * Resolves when none of eight new connections has gone to this agent, which holds some. The other one's count would not do:
     * a server that waits for an endpoint's last bytes keeps closed connections for a while.
     */
    async function noneGoTo(agent: Tunnel["agents"][number]): Promise<void> {
      const noneTaken = async () => {
        const held = await hold(fewConnections);
        try {
          const count = await agent.metric("open_endpoint_connections");
          await held.close();
          return count === fewConnections;
        } finally {
          await held.stop();
        }
      };
      const describe = () => tunnel.describe();
      await until(`${agent.name} to get no dials`, noneTaken, { withinMs: 10_000, describe });
    }
  }
}

/** A dial over gRPC brings the text alone; by CONNECT it is the body of an answer with that status. */
function expectFailure(
  outcome: Outcome<DialResult>,
  { frontend, client }: Pairing,
  { answersBeforeDial }: Differences,
  expected: { readonly status: number; readonly text: string | RegExp },
): void {
  if (answersBeforeDial !== undefined) {
    // Whether the error's text comes together with the 200 or later, as bytes of the connection, is a matter of luck.
    if (!outcome.ok) expect(outcome.error).toContain("bytes came together with the CONNECT response");
    return;
  }
  expect(outcome.ok).toBe(false);
  if (frontend.protocol === "grpc") {
    expect(outcome.error).toMatch(expected.text);
  } else if (client === undefined) {
    expect(outcome.error).toMatch(new RegExp(`^CONNECT answered ${expected.status} `));
    expect(outcome.error).toMatch(expected.text);
  } else {
    // kube-apiserver's client shows the status and not the text.
    expect(outcome.error).toContain(`code ${expected.status}`);
  }
}

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ManagedProcess } from "../support/managed-process.ts";
import { within } from "../support/within.ts";
import { useCluster } from "./kubectl-suite.ts";
import { nodeSites } from "./network.ts";
import { OpenExec } from "./open-exec.ts";
import { podName } from "./pods.ts";
import { SteadyLog } from "./steady-log.ts";

const reference = "reference-v0.36.0";
const { a, b } = nodeSites;
/** An agent drains for 25 s at most, a server for 15 s. */
const drainsWithinMs = 40_000;

describe("failures", () => {
  const cluster = useCluster({ frontend: { protocol: "grpc", transport: "uds" } });

  async function execWorks(): Promise<void> {
    for (const site of [a, b]) {
      const args = ["exec", podName(site), "--container=shell", "--", "hostname"];
      expect(await cluster().kubectl.text(args)).toBe(`${podName(site)}\n`);
    }
  }

  async function drain(process: ManagedProcess, meanwhile: () => Promise<void>): Promise<void> {
    process.kill("SIGTERM");
    await meanwhile();
    expect(await within(drainsWithinMs, `the exit of ${process.name}`, process.exited)).toEqual({
      code: 0,
      signal: null,
    });
  }

  describe("of an agent, while a log of the other node goes on", () => {
    let log: SteadyLog;
    beforeEach(async () => {
      await cluster().linked(2);
      log = await SteadyLog.start(cluster().kubectl, b);
    });
    afterEach(() => log?.stop());

    it("killed: its node is reached through the other agent, and again by its own", async () => {
      await cluster().agent("a").stop();
      await cluster().linked(1);
      await execWorks();
      await log.goesOn();
      await cluster().startAgent(a, "hawser");
      await cluster().linked(2);
      await execWorks();
      await log.goesOn();
    });

    it("drained: what runs through it goes on to its end, and it exits with 0", async () => {
      const exec = await OpenExec.start(cluster().kubectl, a);
      try {
        await drain(cluster().agent("a"), async () => {
          await execWorks();
          await exec.answers("still there");
          await exec.finish();
        });
      } finally {
        await exec.stop();
      }
      await execWorks();
      await log.goesOn();
      await cluster().startAgent(a, "hawser");
    });

    it("replaced by the reference, and back", async () => {
      for (const implementation of [reference, "hawser"] as const) {
        await cluster().agent("a").stop();
        await cluster().linked(1);
        await cluster().startAgent(a, implementation);
        await cluster().linked(2);
        await execWorks();
        await log.goesOn();
      }
    });
  });

  describe("of the server", () => {
    it("killed: a log ends, and all is well with the next server", async () => {
      const log = await SteadyLog.start(cluster().kubectl, b);
      try {
        await cluster().server.stop();
        await log.ends();
      } finally {
        await log.stop();
      }
      await cluster().startServer("hawser");
      await cluster().linked(2);
      await execWorks();
    });

    it("drained: what runs through it goes on to its end, and it exits with 0", async () => {
      const exec = await OpenExec.start(cluster().kubectl, a);
      try {
        await drain(cluster().server, async () => {
          await exec.answers("still there");
          await exec.finish();
        });
      } finally {
        await exec.stop();
      }
      await cluster().startServer("hawser");
      await cluster().linked(2);
      await execWorks();
    });

    it("replaced by the reference, and back", async () => {
      for (const implementation of [reference, "hawser"] as const) {
        await cluster().server.stop();
        await cluster().startServer(implementation);
        await cluster().linked(2, implementation);
        await execWorks();
      }
    });
  });
});

import { createInterface } from "node:readline";
import { expect } from "vitest";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";
import type { Check } from "./check.ts";
import type { Cluster } from "./cluster.ts";
import { byName, nodeSites } from "./network.ts";
import { expectedLogLines, logLineCount, podName, writerStart } from "./pods.ts";

const readsWithinMs = 30_000;
const { a, b } = nodeSites;

export function logChecks(check: Check, cluster: () => Cluster): void {
  check.each(byName([a, b]))("logs: 100,000 lines from %s", async (_name, site) => {
    const read = () => cluster().kubectl.text(["logs", podName(site), "--container=lines"]);
    // It may still be writing.
    const whole = async () => {
      const log = await read();
      return log.includes(`line ${logLineCount} `) && log;
    };
    const log = await until("the last line", whole, { withinMs: readsWithinMs });
    expectLines(log.trimEnd().split("\n"));
  });

  check("logs -f: no line is lost while 100,000 are written", async () => {
    const { kubectl } = cluster();
    const pod = podName(a);
    const [lines] = await Promise.all([
      firstLines(cluster(), ["logs", pod, "--container=writer", "--follow"], logLineCount),
      kubectl.output(["exec", pod, "--container=writer", "--", "touch", writerStart]),
    ]);
    expectLines(lines);
  });
}

/** The first so many lines of a client that goes on; rejects if it ends before. */
async function firstLines({ kubectl }: Cluster, args: readonly string[], count: number): Promise<readonly string[]> {
  const client = kubectl.start(args);
  const read = async () => {
    const lines: string[] = [];
    for await (const line of createInterface({ input: client.stdout })) {
      lines.push(line);
      if (lines.length === count) return lines;
    }
    throw new Error(`${client.describe()}\n${client.name} ended after ${lines.length} lines`);
  };
  try {
    return await within(readsWithinMs, `${count} lines of ${client.name}`, read());
  } finally {
    await client.stop();
  }
}

/** Says which line is the first wrong one, and not all of them. */
function expectLines(lines: readonly string[]): void {
  let at = 0;
  for (const expected of expectedLogLines()) {
    if (lines[at] !== expected) expect(lines[at], `line ${at + 1} of ${lines.length}`).toBe(expected);
    at += 1;
  }
  expect(lines).toHaveLength(at);
}

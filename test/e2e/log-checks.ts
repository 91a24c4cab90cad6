import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { within } from "../support/within.ts";
import type { Cluster } from "./cluster.ts";
import { byName, nodeSites } from "./network.ts";
import { expectedLogLines, logLineCount, podName, writerStart } from "./pods.ts";

const followsWithinMs = 60_000;
const { a, b } = nodeSites;

export function logChecks(cluster: () => Cluster): void {
  it.each(byName([a, b]))("logs: 100,000 lines from %s", async (_name, site) => {
    // A container may still be writing.
    const args = ["logs", podName(site), "--container=lines", "--follow"];
    expectLines(await firstLines(cluster(), args, logLineCount));
    const whole = await cluster().kubectl.text(["logs", podName(site), "--container=lines"]);
    expectLines(whole.trimEnd().split("\n"));
  });

  it("logs -f: no line is lost while 100,000 are written", async () => {
    const { kubectl } = cluster();
    const pod = podName(a);
    const reading = firstLines(cluster(), ["logs", pod, "--container=writer", "--follow"], logLineCount);
    await kubectl.output(["exec", pod, "--container=writer", "--", "touch", writerStart]);
    expectLines(await reading);
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
    return await within(followsWithinMs, `${count} lines of ${client.name}`, read());
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

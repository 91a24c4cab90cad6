import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { describe, expect } from "vitest";
import type { ManagedProcess } from "../support/managed-process.ts";
import { digestOfSeeded, seededBytes } from "../support/seeded-bytes.ts";
import { within } from "../support/within.ts";
import type { Check } from "./check.ts";
import type { Cluster } from "./cluster.ts";
import { digestOf, type Wire } from "./kubectl.ts";
import { nodeSites } from "./network.ts";
import { podName, podPorts } from "./pods.ts";

const bulkBytes = 20_000_000;
const parallelCount = 8;
const transferWithinMs = 60_000;

export const portForwardWires: readonly Wire[] = [
  ["WebSocket", { KUBECTL_PORT_FORWARD_WEBSOCKETS: "true" }],
  ["SPDY", { KUBECTL_PORT_FORWARD_WEBSOCKETS: "false" }],
];

/** `wires` are those over which ports are forwarded. */
export function transferChecks(check: Check, cluster: () => Cluster, wires = portForwardWires): void {
  describe.each(wires)("over %s", (_wire, env) => {
    check("port-forward: 20 MB there and back", async () => {
      await forwarded(cluster(), env, async (port) => {
        expect(await echoedDigest(port, 1, bulkBytes)).toBe(digestOfSeeded(1, bulkBytes));
      });
    });

    check("port-forward: 8 connections at once", async () => {
      const byteCount = bulkBytes / parallelCount;
      const seeds = Array.from({ length: parallelCount }, (_, index) => index + 1);
      await forwarded(cluster(), env, async (port) => {
        const digests = await Promise.all(seeds.map((seed) => echoedDigest(port, seed, byteCount)));
        expect(digests).toEqual(seeds.map((seed) => digestOfSeeded(seed, byteCount)));
      });
    });
  });

  check("cp: there and back", async () => {
    const { kubectl, workspace } = cluster();
    const [here, back] = [workspace.path("copied"), workspace.path("copied-back")];
    const bytes = Buffer.concat([...seededBytes(3, bulkBytes)]);
    writeFileSync(here, bytes);
    const there = `${podName(nodeSites.b)}:/tmp/copied`;
    await kubectl.output(["cp", "--container=shell", here, there]);
    await kubectl.output(["cp", "--container=shell", there, back]);
    expect(digestOf(readFileSync(back))).toBe(digestOf(bytes));
  });
}

/** Gives `use` a port of this machine that leads to the pod's server. */
async function forwarded(
  { kubectl }: Cluster,
  env: Readonly<Record<string, string>>,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const client = kubectl.start(["port-forward", `pod/${podName(nodeSites.a)}`, `:${podPorts.http}`], env);
  try {
    await use(await within(transferWithinMs, `the port of ${client.name}`, portOf(client)));
  } catch (error) {
    throw new Error(client.describe(), { cause: error });
  } finally {
    await client.stop();
  }
}

async function portOf(client: ManagedProcess): Promise<number> {
  // It goes on writing a line for each connection.
  const lines = createInterface({ input: client.stdout });
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const [, port] = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line) ?? [];
      if (port !== undefined) resolve(Number(port));
    });
    lines.once("close", () => reject(new Error(client.describe())));
  });
}

/** The digest of what comes back for so many bytes of a seed. */
function echoedDigest(port: number, seed: number, byteCount: number): Promise<string> {
  const signal = AbortSignal.timeout(transferWithinMs);
  return new Promise((resolve, reject) => {
    const call = request(
      { host: "127.0.0.1", port, path: "/echo", method: "POST", agent: false, signal },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () => resolve(digestOf(Buffer.concat(parts))));
        response.on("error", reject);
      },
    );
    call.on("error", reject);
    Readable.from(seededBytes(seed, byteCount)).pipe(call);
  });
}

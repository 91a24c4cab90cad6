import { buildGo } from "../support/go.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import { run } from "./tools.ts";

/** Packets that wait at a device while the line behind it is full: enough for never to lose one. */
const deviceQueue = 10_000;

/** Builds the program that delays packets. Rejects with GoMissing without Go. */
export function buildDelay(): Promise<string> {
  return buildGo({ moduleDir: "test/netns/delay", package: ".", out: "delay" });
}

/** A path of some length. */
export interface WirePace {
  /** Time from one end to the other. */
  readonly oneWayMs: number;
  /** In either direction; as much as goes if left out. */
  readonly megabytesPerSecond?: number;
}

/**
 * Makes a device in each of two namespaces that are joined by a slow wire. The devices have no addresses and are not up. They are
 * gone with the process.
 */
export async function delayWire(
  ends: readonly { readonly namespace: string; readonly device: string }[],
  { oneWayMs, megabytesPerSecond = 0 }: WirePace,
): Promise<ManagedProcess> {
  // They begin in one namespace, side by side; so for that while each has a name of its own.
  const births = ends.map((_, index) => `delay-${process.pid}-${index}`);
  const args = [`-one-way=${oneWayMs * 1_000}us`, `-rate=${megabytesPerSecond}`, `-devices=${births.join(",")}`];
  const wire = new ManagedProcess("delay", { file: await buildDelay(), args });
  try {
    await Promise.race([
      new Promise((resolve) => wire.stdout.once("data", resolve)),
      wire.exited.then(() => Promise.reject(wire.gone.reason)),
    ]);
    for (const [index, { namespace, device }] of ends.entries()) {
      const birth = births[index] ?? "";
      await run("ip", "link", "set", birth, "netns", namespace, "name", device, "txqueuelen", `${deviceQueue}`);
    }
    return wire;
  } catch (error) {
    await wire.stop();
    throw error;
  }
}

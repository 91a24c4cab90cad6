import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addLinuxProcessMetrics } from "../../../../shared/metrics/linux-process.ts";
import { expose, openRegistry } from "../../../../shared/metrics/registry.ts";
import { familiesOf } from "./exposition.ts";

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), "hw-proc-"));
});
afterEach(() => rmSync(proc, { recursive: true }));

function writeProc({ netstat, limits }: { readonly netstat?: string; readonly limits?: string }): void {
  mkdirSync(join(proc, "net"));
  if (netstat !== undefined) writeFileSync(join(proc, "net", "netstat"), netstat);
  if (limits !== undefined) writeFileSync(join(proc, "limits"), limits);
}

/** Type and value of each family by name, without `process_`. */
async function shown(folder = proc): Promise<Record<string, readonly [string, number | undefined]>> {
  const registry = openRegistry({ version: "0" });
  addLinuxProcessMetrics(registry, folder);
  const families = Object.entries(familiesOf(await expose(registry), "process_"));
  return Object.fromEntries(families.map(([name, { type, samples }]) => [name, [type, samples[0]?.value] as const]));
}

const netstat = `TcpExt: SyncookiesSent InOctets
TcpExt: 1 2
IpExt: InNoRoutes InOctets OutOctets InMcastOctets
IpExt: 5 18014398509481984 77 8
MPTcpExt: InOctets
MPTcpExt: 9
`;
const limitLines = (space: string) => `Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 1048576              files
Max address space         ${space}           unlimited            bytes
`;

describe("what /proc tells of a process", () => {
  it("is read from the fields that Go's collector reads", async () => {
    writeProc({ netstat, limits: limitLines("1073741824") });
    expect(await shown()).toEqual({
      network_receive_bytes_total: ["counter", 18014398509481984],
      network_transmit_bytes_total: ["counter", 77],
      virtual_memory_max_bytes: ["gauge", 1073741824],
    });
  });

  it("has no limit as Go's largest number", async () => {
    writeProc({ limits: limitLines("unlimited ") });
    expect(await shown()).toEqual({ virtual_memory_max_bytes: ["gauge", 2 ** 64] });
  });

  it.each([
    ["of other protocols alone", { netstat: "TcpExt: InOctets OutOctets\nTcpExt: 1 2\n" }],
    ["cut short", { netstat: "IpExt: InOctets OutOctets\nIpExt: ", limits: "Max address space" }],
    ["of something else", { netstat: "IpExt: InOctets\nIpExt: many\n", limits: limitLines("much") }],
    ["empty", { netstat: "", limits: "" }],
    ["not there", {}],
  ])("is left out where the files are %s", async (_what, files) => {
    writeProc(files);
    expect(await shown()).toEqual({});
  });

  it.runIf(process.platform === "linux")("is there for this process", async () => {
    const { network_receive_bytes_total: received, virtual_memory_max_bytes: space } = await shown("/proc/self");
    expect(received?.[1]).toBeGreaterThanOrEqual(0);
    expect(space?.[1]).toBeGreaterThan(0);
  });
});

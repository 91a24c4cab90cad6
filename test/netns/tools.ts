import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** This machine cannot make network namespaces or drop packets in them. What needs that cannot run; that is for the caller to say aloud. */
export class NetworkToolsMissing extends Error {
  override readonly name = "NetworkToolsMissing";
  readonly code = "network_tools_missing";
}

/** Runs a program to its end and resolves to its standard output; rejects with what it said. */
export async function run(file: string, ...args: readonly string[]): Promise<string> {
  try {
    return (await execute(file, args)).stdout;
  } catch (error) {
    const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
    throw new Error(`${[file, ...args].join(" ")}: ${stderr?.trim() || message}`, { cause: error });
  }
}

/** iptables as the distribution has it, over nftables mostly, and for kernels without these the older one. */
const filters = ["iptables", "iptables-legacy"] as const;
let filter: Promise<string> | undefined;

/** The first of the two that can drop packets in this namespace; the answer is the same for all. */
export function packetFilter(namespace: string): Promise<string> {
  filter ??= firstThatWorks(namespace);
  return filter;
}

async function firstThatWorks(namespace: string): Promise<string> {
  const failures: string[] = [];
  for (const name of filters) {
    const inside = ["netns", "exec", namespace, name, "-w"];
    try {
      await run("ip", ...inside, "-I", "INPUT", "-s", "192.0.2.1", "-j", "DROP");
      await run("ip", ...inside, "-D", "INPUT", "-s", "192.0.2.1", "-j", "DROP");
      return name;
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  throw new NetworkToolsMissing(`no packet filter works here: ${failures.join("; ")}`);
}

/** Rejects with NetworkToolsMissing, which says what to do, unless this process can make namespaces and drop packets in them. */
export async function requireNetworkTools(): Promise<void> {
  if (process.getuid?.() !== 0) throw new NetworkToolsMissing("network namespaces need root");
  const namespace = `hawser-probe-${process.pid}`;
  try {
    await run("unshare", "--net", "--mount", "true");
    await run("ip", "netns", "add", namespace);
  } catch (error) {
    const { message } = error as Error;
    throw new NetworkToolsMissing(`no network namespaces here (ip of iproute2, unshare of util-linux): ${message}`);
  }
  try {
    await packetFilter(namespace);
  } finally {
    await run("ip", "netns", "delete", namespace);
  }
}

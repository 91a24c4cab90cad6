import { packetFilter, run } from "../netns/tools.ts";
import type { Command } from "../support/managed-process.ts";

/** Of the control plane, which is where the tests run, towards the nodes. */
export const controlPlaneAddress = "10.203.0.1";

/** Of the service by which pods find kube-apiserver: the first of its range. */
export const kubernetesServiceAddress = "10.96.0.1";

export interface NodeSite {
  readonly name: string;
  readonly address: string;
  readonly podSubnet: string;
}

/** The two nodes. */
export const nodeSites = {
  a: { name: "node-a", address: "10.203.0.11", podSubnet: "10.204.1.0/24" },
  b: { name: "node-b", address: "10.203.0.12", podSubnet: "10.204.2.0/24" },
} as const satisfies Readonly<Record<string, NodeSite>>;

/** For tests that are run for each of them. */
export const byName = (sites: readonly NodeSite[]) => sites.map((site) => [site.name, site] as const);

const sites: readonly NodeSite[] = Object.values(nodeSites);
const bridge = "nodes";
/** Of a node's namespace, and of its device in the control plane. */
const uplink = "uplink";

/**
 * A control plane and two nodes on one bridge, each node a network namespace of its name with a subnet for its pods. There are routes for
 * everything; what keeps the control plane out is the firewall of each node. The tests run in a network of their own, so that no
 * name or address here is anybody else's.
 */
export class ClusterNetwork {
  /** Needs root. Leaves nothing behind if it fails. Firewalls are closed. */
  static async create(): Promise<ClusterNetwork> {
    const network = new ClusterNetwork();
    try {
      await run("ip", "link", "add", bridge, "type", "bridge");
      await run("ip", "address", "add", `${controlPlaneAddress}/24`, "dev", bridge);
      await run("ip", "link", "set", bridge, "up");
      for (const site of sites) await join(site);
      for (const site of sites) await addRoutes(site);
      for (const { name } of sites) await closeFirewall(name);
      return network;
    } catch (error) {
      await network.remove();
      throw error;
    }
  }

  /** Its processes have ended before. What is not there, since making it failed, is none to remove. */
  async remove(): Promise<void> {
    for (const { name } of sites) await run("ip", "link", "delete", name).catch(() => {});
    for (const { name } of sites) await run("ip", "netns", "delete", name).catch(() => {});
    await run("ip", "link", "delete", bridge).catch(() => {});
  }
}

/** A command that runs in a node's network. `ip netns exec` would give it a /sys without cgroups. The child's pid is the command's own. */
export function onNode({ name }: NodeSite, { file, args, ...rest }: Command): Command {
  return { file: "nsenter", args: [`--net=/run/netns/${name}`, file, ...args], ...rest };
}

async function join({ name, address }: NodeSite): Promise<void> {
  await run("ip", "netns", "add", name);
  await run("ip", "link", "add", name, "type", "veth", "peer", "name", uplink, "netns", name);
  await run("ip", "link", "set", name, "master", bridge, "up");
  await run("ip", "-n", name, "address", "add", `${address}/24`, "dev", uplink);
  for (const device of ["lo", uplink]) await run("ip", "-n", name, "link", "set", device, "up");
  await run("nsenter", `--net=/run/netns/${name}`, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
}

/** From the control plane and the other nodes to this one's pods. */
async function addRoutes({ name, address, podSubnet }: NodeSite): Promise<void> {
  await run("ip", "route", "add", podSubnet, "via", address);
  for (const other of sites.filter((site) => site.name !== name)) {
    await run("ip", "-n", other.name, "route", "add", podSubnet, "via", address);
  }
}

const chains = ["INPUT", "FORWARD"] as const;
const fromControlPlane = ["-i", uplink, "-s", controlPlaneAddress, "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"];

/** Drops whatever would be a new connection from the control plane, to the node or to one of its pods. */
export async function closeFirewall(name: string): Promise<void> {
  for (const chain of chains) await iptables(name, "-A", chain, ...fromControlPlane);
}

export async function openFirewall(name: string): Promise<void> {
  for (const chain of chains) await iptables(name, "-D", chain, ...fromControlPlane);
}

/** How many packets to the node itself and to its pods have been dropped. */
export async function droppedPackets(name: string): Promise<{ readonly node: number; readonly pods: number }> {
  const [node = Number.NaN, pods = Number.NaN] = await Promise.all(
    chains.map(async (chain) => {
      const [, , rule = ""] = (await iptables(name, "-nvxL", chain)).split("\n");
      return Number(rule.trim().split(/\s+/)[0]);
    }),
  );
  return { node, pods };
}

/** Leads pods of a node to kube-apiserver, as kube-proxy would. */
export async function leadToApi(name: string, port: number): Promise<void> {
  const target = ["-j", "DNAT", "--to-destination", `${controlPlaneAddress}:${port}`];
  const service = ["-d", kubernetesServiceAddress, "-p", "tcp", "--dport", "443"];
  await iptables(name, "-t", "nat", "-A", "PREROUTING", ...service, ...target);
}

async function iptables(namespace: string, ...args: readonly string[]): Promise<string> {
  return run("ip", "netns", "exec", namespace, await packetFilter(namespace), "-w", ...args);
}

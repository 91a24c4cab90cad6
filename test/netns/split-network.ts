import { execFileSync } from "node:child_process";
import type { ManagedProcess } from "../support/managed-process.ts";
import type { Place } from "../support/processes.ts";
import { delayWire, type WirePace } from "./delayed-wire.ts";
import { packetFilter, run } from "./tools.ts";

/** Which packets are lost. */
export type Cut = "both ways" | "agent to server" | "server to agent";

/** The same in every pair: nobody but the two can see them. */
const wire = { device: "wire", server: "10.201.0.1", agent: "10.201.0.2" };
/** Each pair has a number of its own, which is part of the addresses towards the tests. */
const pairsMax = 250;

/** One of the two namespaces. `device` leads from the tests into it; `gateway` is the tests' address on it. */
interface Namespace {
  readonly name: string;
  readonly device: string;
  readonly statusHost: string;
  readonly gateway: string;
}

// If the test run itself ends early, its namespaces go with it.
const present = new Set<string>();
process.on("exit", () => {
  for (const name of present) execFileSync("ip", ["netns", "delete", name]);
});

/**
 * Two network namespaces joined by a wire: one for a server, one for agents. A cut wire loses packets, as a failing network
 * does: no FIN, no RST, no ICMP. The tests reach either namespace on a way of its own, which is never cut.
 */
export class SplitNetwork {
  readonly server: Place;
  readonly agent: Place;
  /** An address of the tests that both namespaces reach: endpoints listen here. */
  readonly endpointHost: string;
  readonly #server: Namespace;
  readonly #agent: Namespace;
  #delay: ManagedProcess | undefined;

  private constructor(server: Namespace, agent: Namespace) {
    this.#server = server;
    this.#agent = agent;
    this.server = placeIn(server, wire.server);
    this.agent = placeIn(agent, wire.agent);
    this.endpointHost = agent.gateway;
  }

  /** Needs root. Leaves nothing behind if it fails. The wire is as quick as it can be if left out. */
  static async create(pace?: WirePace): Promise<SplitNetwork> {
    const pair = await claimPair();
    const server = namespace(pair, "server", 0);
    const agent = namespace(pair, "agent", 4);
    await run("ip", "netns", "add", agent.name);
    for (const { name } of [server, agent]) present.add(name);
    const network = new SplitNetwork(server, agent);
    try {
      await network.#connect(pace);
      return network;
    } catch (error) {
      await network.remove();
      throw error;
    }
  }

  async #connect(pace: WirePace | undefined): Promise<void> {
    const [server, agent] = [this.#server, this.#agent];
    for (const { name, device, gateway, statusHost } of [server, agent]) {
      await run("ip", "-n", name, "link", "set", "lo", "up");
      await run("ip", "link", "add", device, "type", "veth", "peer", "name", "tests", "netns", name);
      await run("ip", "address", "add", `${gateway}/30`, "dev", device);
      await run("ip", "link", "set", device, "up");
      await run("ip", "-n", name, "address", "add", `${statusHost}/30`, "dev", "tests");
      await run("ip", "-n", name, "link", "set", "tests", "up");
    }
    await run("ip", "-n", server.name, "route", "add", this.endpointHost, "via", server.gateway);
    await this.#joinByWire(pace);
    for (const [{ name }, address] of [[server, wire.server] as const, [agent, wire.agent] as const]) {
      await run("ip", "-n", name, "address", "add", `${address}/30`, "dev", wire.device);
      await run("ip", "-n", name, "link", "set", wire.device, "up");
    }
  }

  async #joinByWire(pace: WirePace | undefined): Promise<void> {
    const [server, agent] = [this.#server, this.#agent];
    if (pace !== undefined) {
      const ends = [server, agent].map(({ name }) => ({ namespace: name, device: wire.device }));
      this.#delay = await delayWire(ends, pace);
      return;
    }
    const ends = ["type", "veth", "peer", "name", wire.device, "netns", agent.name];
    await run("ip", "-n", server.name, "link", "add", wire.device, ...ends);
  }

  /** From now on the packets that arrive are dropped; whoever sent them learns nothing. */
  async cut(which: Cut): Promise<void> {
    const receivers = {
      "both ways": [this.#server, this.#agent],
      "agent to server": [this.#server],
      "server to agent": [this.#agent],
    }[which];
    await Promise.all(receivers.map(({ name }) => iptables(name, "-A", "INPUT", "-i", wire.device, "-j", "DROP")));
  }

  async heal(): Promise<void> {
    await Promise.all([this.#server, this.#agent].map(({ name }) => iptables(name, "-F", "INPUT")));
  }

  /** Agents in the agent's namespace get no answer any more when they connect to this port of the tests. */
  async hideEndpoint(port: number): Promise<void> {
    await iptables(this.#agent.name, "-A", "OUTPUT", "-p", "tcp", "--dport", `${port}`, "-j", "DROP");
  }

  /** How many packets to a hidden endpoint were dropped: some, once an agent dials it. */
  async hiddenPackets(): Promise<number> {
    const [, , rule = ""] = (await iptables(this.#agent.name, "-nvxL", "OUTPUT")).split("\n");
    return Number(rule.trim().split(/\s+/)[0]);
  }

  /** Its processes have ended before. The server's namespace goes last, since another pair may take the number then. */
  async remove(): Promise<void> {
    await this.#delay?.stop();
    for (const { device } of [this.#agent, this.#server]) {
      // It is not there if making it failed. A namespace may be held a moment longer than its name, by a process that is just ending.
      await run("ip", "link", "delete", device).catch(() => {});
    }
    for (const { name } of [this.#agent, this.#server]) {
      await run("ip", "netns", "delete", name);
      present.delete(name);
    }
  }
}

/** Takes the first number whose server namespace does not exist, also in other processes: making one fails if it is there. */
async function claimPair(): Promise<number> {
  for (let pair = 1; ; pair++) {
    try {
      await run("ip", "netns", "add", namespace(pair, "server", 0).name);
      return pair;
    } catch (error) {
      if (pair === pairsMax || !(error as Error).message.includes("File exists")) throw error;
    }
  }
}

/** `firstAddress` is that of a /30 of its own. */
function namespace(pair: number, half: "server" | "agent", firstAddress: number): Namespace {
  return {
    name: `hawser-${pair}-${half}`,
    device: `hw${pair}-${half}`,
    gateway: `10.201.${pair}.${firstAddress + 1}`,
    statusHost: `10.201.${pair}.${firstAddress + 2}`,
  };
}

function placeIn({ name, statusHost }: Namespace, host: string): Place {
  return {
    host,
    statusHost,
    // `ip` becomes the command, so that the child's pid is the command's own.
    command: ({ file, args, ...rest }) => ({ file: "ip", args: ["netns", "exec", name, file, ...args], ...rest }),
  };
}

async function iptables(namespace: string, ...args: readonly string[]): Promise<string> {
  return run("ip", "netns", "exec", namespace, await packetFilter(namespace), "-w", ...args);
}

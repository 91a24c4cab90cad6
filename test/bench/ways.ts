import { linkFromAfar } from "../interop/far-agent.ts";
import { frontendArgs } from "../interop/tunnel-client.ts";
import type { ManagedProcess } from "../support/managed-process.ts";
import { freePort } from "../support/ports.ts";
import type { FrontendKind, Implementation } from "../support/processes.ts";
import { Tunnel } from "../support/tunnel.ts";
import { startRelay } from "./relay.ts";
import { type Halves, mixedName, relayComparison, workersComparison } from "./results.ts";

/** How a client reaches the endpoints. */
export interface Way {
  readonly name: string;
  /** At most so many rounds: what is there for orientation only needs few. */
  readonly roundsMax?: number;
  start(place: WayPlace): Promise<RunningWay>;
}

export interface WayPlace {
  /** Between server and agent; 0 for none. */
  readonly oneWayMs: number;
  /** Hawser's own halves are to serve profiles of themselves. */
  readonly profiled: boolean;
}

export interface RunningWay {
  /** The load generator's flags. */
  readonly clientArgs: readonly string[];
  /** The processes between; none for a direct connection. */
  readonly halves?: Halves<ManagedProcess>;
  /** For what needs more than the client does. */
  readonly tunnel?: Tunnel;
  /** Where those of the halves that serve profiles do so, on the loopback. */
  readonly profilePorts?: Partial<Halves<number>>;
  stop(): Promise<void>;
}

export const referenceVersion = "v0.36.0";
const reference: Implementation = `reference-${referenceVersion}`;
const protocolNames = { grpc: "gRPC", connect: "CONNECT" } as const;

export const direct: Way = {
  name: "direct TCP",
  roundsMax: 1,
  start: async () => ({ clientArgs: ["--proto=direct"], stop: async () => {} }),
};

export const relay: Way = {
  name: relayComparison.theirs,
  roundsMax: 2,
  start: async ({ oneWayMs }) => {
    const { server, agent, path, stop } = await startRelay(oneWayMs);
    return { clientArgs: ["--proto=connect", `--uds=${path}`], halves: { server, agent }, stop };
  },
};

/** The reference's pair and Hawser's behind each other, so that what else the machine does falls on both alike. */
export const grpcPairs: readonly Way[] = [pair(reference, reference, "grpc"), pair("hawser", "hawser", "grpc")];
export const connectPairs: readonly Way[] = [
  pair(reference, reference, "connect"),
  pair("hawser", "hawser", "connect"),
];
/** Halves of either kind with the other kind's. */
export const mixedPairs: readonly Way[] = [pair("hawser", reference, "grpc"), pair(reference, "hawser", "grpc")];

/** At its default level of 4 the reference writes lines for every packet that goes up; both halves of a pair are measured without. */
export const asShipped: Way = {
  name: "reference as shipped, CONNECT",
  roundsMax: 2,
  start: (place) => startPair(reference, reference, "connect", place, { asShipped: true }),
};

/** A server without workers, and one with two. */
export const workers: readonly Way[] = [
  pair("hawser", "hawser", "connect"),
  {
    name: workersComparison.ours,
    start: (place) => startPair("hawser", "hawser", "connect", place, { moreServerFlags: ["--workers=2"] }),
  },
];

function pair(server: Implementation, agent: Implementation, protocol: FrontendKind["protocol"]): Way {
  const named = (implementation: Implementation) => (implementation === "hawser" ? "Hawser" : "reference");
  const halves = server === agent ? named(server) : mixedName(named(server), named(agent));
  return {
    name: `${halves}, ${protocolNames[protocol]}`,
    start: (place) => startPair(server, agent, protocol, place),
  };
}

interface PairOptions {
  readonly moreServerFlags?: readonly string[];
  /** With the log level that a half has by itself, in place of 0. */
  readonly asShipped?: boolean;
}

async function startPair(
  server: Implementation,
  agent: Implementation,
  protocol: FrontendKind["protocol"],
  { oneWayMs, profiled }: WayPlace,
  { moreServerFlags = [], asShipped = false }: PairOptions = {},
): Promise<RunningWay> {
  const profilePorts: Partial<Halves<number>> = {
    ...(profiled && server === "hawser" && { server: await freePort() }),
    ...(profiled && agent === "hawser" && { agent: await freePort() }),
  };
  const profiling = (flag: string, port: number | undefined) =>
    port === undefined ? [] : ["--enable-profiling", `${flag}=${port}`];
  const level = asShipped ? [] : ["-v=0"];
  const serverFlags = [...level, ...moreServerFlags, ...profiling("--admin-port", profilePorts.server)];
  // As manifests have them. The tests' own make an agent look around ten times a second.
  const intervals = ["--sync-interval=1s", "--sync-interval-cap=10s", "--probe-interval=1s"];
  const agentFlags = [...level, ...intervals, ...profiling("--admin-server-port", profilePorts.agent)];
  const frontend: FrontendKind = { protocol, transport: "uds" };
  const agentCount = oneWayMs === 0 ? 1 : 0;
  const tunnel = await Tunnel.start({ server, agent, frontend, agentCount, serverFlags, agentFlags });
  try {
    const start = { implementation: agent, flags: agentFlags };
    const far = oneWayMs === 0 ? undefined : await linkFromAfar(tunnel, oneWayMs, start);
    const agentProcess = far?.agent ?? tunnel.agents[0];
    if (agentProcess === undefined) throw new Error("the tunnel has no agent");
    return {
      clientArgs: frontendArgs(tunnel),
      halves: { server: tunnel.server, agent: agentProcess },
      tunnel,
      profilePorts,
      stop: async () => {
        await far?.stop();
        await tunnel.stop();
      },
    };
  } catch (error) {
    await tunnel.stop();
    throw error;
  }
}

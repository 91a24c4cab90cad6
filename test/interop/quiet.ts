import type { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import type { GoEndpoints } from "./go-endpoints.ts";
import { type ChurnResult, runClient } from "./tunnel-client.ts";

/** What a tunnel holds on to at one moment. */
interface Holdings {
  readonly pending: number;
  readonly established: number;
  readonly endpointConnections: number;
  readonly endpointSockets: number;
  readonly serverDescriptors: number;
  readonly agentDescriptors: readonly number[];
}

/** Reads both metrics pages, the endpoints' own count and /proc. */
export async function holdingsOf(tunnel: Tunnel, endpoints: GoEndpoints): Promise<Holdings> {
  const perAgent = await Promise.all(tunnel.agents.map((agent) => agent.metric("open_endpoint_connections")));
  return {
    pending: await tunnel.server.metric("pending_backend_dials"),
    established: await tunnel.server.metric("established_connections"),
    endpointConnections: perAgent.reduce((sum, count) => sum + count, 0),
    endpointSockets: await endpoints.openCount(),
    serverDescriptors: tunnel.server.openDescriptors(),
    agentDescriptors: tunnel.agents.map((agent) => agent.openDescriptors()),
  };
}

/**
 * A reference server leaves its gauges as they were when it drops connections because their frontend stream ended; they
 * are right again after one that closes in order.
 */
async function refreshGauges(tunnel: Tunnel, endpoints: GoEndpoints): Promise<void> {
  await runClient<ChurnResult>(tunnel, "churn", [`--target=${endpoints.addresses.echo}`, "--dials=1"]);
}

/** Descriptors of a tunnel that carries nothing. */
export interface Baseline {
  readonly server: number;
  readonly agents: readonly number[];
}

/** Resolves, within 5 s, when the tunnel carries nothing, to the descriptors that it then has. */
export async function baselineOf(tunnel: Tunnel, endpoints: GoEndpoints): Promise<Baseline> {
  const idle = await untilQuiet(tunnel, endpoints);
  return { server: idle.serverDescriptors, agents: idle.agentDescriptors };
}

/**
 * Resolves when nothing is pending or established by both metrics pages, no endpoint has a connection, and, with a
 * baseline, no process has more descriptors than that. Rejects after 5 s with what is left.
 */
export async function untilQuiet(tunnel: Tunnel, endpoints: GoEndpoints, baseline?: Baseline): Promise<Holdings> {
  let last: Holdings | undefined;
  const quiet = async () => {
    if (tunnel.serverImplementation !== "hawser") await refreshGauges(tunnel, endpoints);
    last = await holdingsOf(tunnel, endpoints);
    const { pending, established, endpointConnections, endpointSockets, serverDescriptors, agentDescriptors } = last;
    const connectionsGone = pending + established + endpointConnections + endpointSockets === 0;
    const descriptorsBack =
      baseline === undefined ||
      (serverDescriptors <= baseline.server &&
        agentDescriptors.every((count, index) => count <= (baseline.agents[index] ?? 0)));
    return connectionsGone && descriptorsBack && last;
  };
  const describe = () => `${JSON.stringify({ last, baseline })}\n${tunnel.describe()}`;
  return until("nothing pending, established or open", quiet, { withinMs: 5_000, describe });
}

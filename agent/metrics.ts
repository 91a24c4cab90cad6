import type { ErrorCode } from "../shared/errors.ts";
import { type CallMeter, callMeter } from "../shared/kubernetes/lease-calls.ts";
import { ConnectionMetrics } from "../shared/metrics/connection-metrics.ts";
import type { Counter, Gauge, Histogram } from "../shared/metrics/instruments.ts";
import { type CodedPacketMeter, PacketMetrics } from "../shared/metrics/packet-metrics.ts";
import {
  byValue,
  counters,
  gauge,
  histogram,
  openRegistry,
  type Registry,
  reading,
} from "../shared/metrics/registry.ts";
import type { HeldFigures } from "../shared/stream/byte-budget.ts";
import type { CloseReport } from "../shared/stream/splice.ts";
import type { ServerLink } from "./links/link.ts";

/** Why the reference counts an endpoint as not reached. Source: the reference. */
const endpointDialFailureReasons = ["timeout", "unknown"] as const;
type EndpointDialFailureReason = (typeof endpointDialFailureReasons)[number];

const prefix = "konnectivity_network_proxy_agent_";
const latencyBounds = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 30];

/** What a link says of itself. */
type LinkFigures = Pick<ServerLink, "lanes" | "roundTripMs">;

/** The agent's metric families: the reference's names, HELP, labels, buckets and meanings, and some of our own. */
export class AgentMetrics {
  readonly registry: Registry;
  /** Seconds that a successful dial of an endpoint took. */
  readonly dialDuration: Histogram;
  /** Servers that this agent is linked to. */
  readonly openServerConnections: Gauge;
  /** Servers that are said to exist. */
  readonly knownServerCount: Gauge;
  readonly openEndpointConnections: Gauge;
  readonly packets: CodedPacketMeter;
  /** Calls for the leases of servers. */
  readonly leaseLists: CallMeter;
  readonly leaseWatches: CallMeter;
  readonly #endpointDialFailures: Readonly<Record<EndpointDialFailureReason, Counter>>;
  readonly #connections: ConnectionMetrics;
  #links: () => readonly LinkFigures[] = () => [];

  constructor(options: { readonly version: string }) {
    const registry = openRegistry(options);
    this.registry = registry;
    this.dialDuration = histogram(registry, {
      name: `${prefix}dial_duration_seconds`,
      help: "Latency of dial to the remote endpoint in seconds",
      bounds: latencyBounds,
    });
    const dialFailures = counters(registry, {
      name: `${prefix}endpoint_dial_failure_total`,
      help: "Number of failures dialing the remote endpoint, by reason (example: timeout).",
      labels: ["reason"],
    });
    this.#endpointDialFailures = byValue(endpointDialFailureReasons, (reason) => dialFailures.labelled({ reason }));
    const failures = counters(registry, {
      name: `${prefix}server_connection_failure_count`,
      help: "Count of failures to send to or receive from the proxy server, labeled by the direction (from_server or to_server). DEPRECATED, please use stream_events_error_total",
      labels: ["direction"],
    });
    this.openServerConnections = gauge(registry, {
      name: `${prefix}open_server_connections`,
      help: "Current number of open server connections.",
    });
    this.knownServerCount = gauge(registry, {
      name: `${prefix}known_server_count`,
      help: "Current number of servers agent is trying to connect to.",
    });
    this.openEndpointConnections = gauge(registry, {
      name: `${prefix}open_endpoint_connections`,
      help: "Current number of open endpoint connections.",
    });
    const meter = new PacketMetrics(registry, prefix).meter({ sent: "from_agent", received: "to_agent" });
    this.packets = withFailures(
      meter,
      byValue(["to_server", "from_server"], (direction) => failures.labelled({ direction })),
    );
    const codeLabel = "http_response_code";
    this.leaseLists = callMeter(registry, {
      codeLabel,
      calls: {
        name: `${prefix}lease_lists_total`,
        help: "Count of server lease list calls made by the agent to the k8s apiserver, labeled by HTTP response code and reason",
      },
      latency: {
        name: `${prefix}lease_list_latency_seconds`,
        help: "Latency of server lease listing in seconds",
        bounds: latencyBounds,
      },
    });
    this.leaseWatches = callMeter(registry, {
      codeLabel,
      calls: {
        name: `${prefix}lease_watches_total`,
        help: "Count of server lease watch calls made by the agent to the k8s apiserver, labeled by HTTP response code and reason",
      },
    });
    reading(registry, {
      type: "gauge",
      name: "hawser_agent_server_round_trip_max_seconds",
      help: "The longest of the shortest round trips to each server that PINGs have shown, in seconds; of links with lanes only.",
      read: () => this.#roundTripSeconds(),
    });
    this.#connections = new ConnectionMetrics(registry, "agent");
  }

  /** Bytes carried, by where they go. */
  get bytes(): ConnectionMetrics["bytes"] {
    return this.#connections.bytes;
  }

  /** From now on shows what these links say of themselves. */
  watchLinks(links: () => readonly LinkFigures[]): void {
    this.#links = links;
    this.#connections.watchLanes(() => links().map(({ lanes }) => lanes));
  }

  #roundTripSeconds(): number | undefined {
    const measured = this.#links().flatMap(({ roundTripMs }) => roundTripMs ?? []);
    return measured.length === 0 ? undefined : Math.max(...measured) / 1000;
  }

  /** From now on shows what this budget counts. */
  watch(budget: HeldFigures): void {
    this.#connections.watch(budget);
  }

  get stalledResets(): Counter {
    return this.#connections.stalledResets;
  }

  /** Counts a dial that brought no connection, in the reference's terms and in ours. */
  endpointDialFailed(code: ErrorCode): void {
    this.#endpointDialFailures[code === "dial_timeout" ? "timeout" : "unknown"].inc();
    this.#connections.dialFailed(code);
  }

  connectionClosed(report: CloseReport): void {
    this.#connections.closed(report);
  }

  /** `limit` names the limit that was reached, in this program's words. */
  refused(limit: string): void {
    this.#connections.refused(limit);
  }
}

/** Counts each failure of the stream also by its direction, as the deprecated family does. */
function withFailures(
  meter: CodedPacketMeter,
  failures: Readonly<Record<"to_server" | "from_server", Counter>>,
): CodedPacketMeter {
  return {
    ...meter,
    sendFailed(packetType, code) {
      failures.to_server.inc();
      meter.sendFailed(packetType, code);
    },
    receiveFailed(code) {
      failures.from_server.inc();
      meter.receiveFailed(code);
    },
  };
}

import type { ErrorCode } from "../shared/errors.ts";
import { callMeter } from "../shared/kubernetes/lease-calls.ts";
import { ConnectionMetrics } from "../shared/metrics/connection-metrics.ts";
import type { Counter, Gauge, Histogram } from "../shared/metrics/instruments.ts";
import { type CodedPacketMeter, PacketMetrics } from "../shared/metrics/packet-metrics.ts";
import {
  byValue,
  counter,
  counters,
  type Family,
  gauge,
  gauges,
  histogram,
  openRegistry,
  type Registry,
} from "../shared/metrics/registry.ts";
import type { HeldFigures } from "../shared/stream/byte-budget.ts";
import type { CloseReport } from "../shared/stream/splice.ts";
import type { LeaseMetrics } from "./leases/lease-collector.ts";
import { LinkMetrics } from "./link-metrics.ts";
import type { AgentLink } from "./links/link.ts";

/** Why the reference counts a dial as failed; one dial may count more than once. Source: the reference. */
const dialFailureReasons = [
  "no_agent",
  "error_response",
  "unrecognized_response",
  "send_rsp",
  "backend_close",
  "backend_dial_timeout",
  "frontend_close",
] as const;
export type DialFailureReason = (typeof dialFailureReasons)[number];

const serviceMethods = ["Proxy", "Connect"] as const;
type PerServiceMethod = Readonly<Record<(typeof serviceMethods)[number], Gauge>>;

const prefix = "konnectivity_network_proxy_server_";
const latencyBounds = [0.000001, 0.00001, 0.0001, 0.005, 0.025, 0.1, 0.5, 2.5, 12.5];
const lifetimeBounds = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 14400, 43200, 86400];

/** Prometheus' own, which the reference has for calls to kube-apiserver. */
const callBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The server's metric families: the reference's names, HELP, labels, buckets and meanings, and some of our own. */
export class ServerMetrics {
  readonly registry: Registry;
  /** Seconds from the request to the established connection. */
  readonly dialDuration: Histogram;
  /** Seconds that a write towards a frontend took. */
  readonly frontendWriteDuration: Histogram;
  /** Seconds that a connection lived. */
  readonly connectionDuration: Histogram;
  /** gRPC streams that are open: `Proxy` by frontends, `Connect` by agents. */
  readonly grpcConnections: PerServiceMethod;
  readonly httpConnections: Gauge;
  readonly pendingDials: Gauge;
  readonly established: Gauge;
  /** Dials that were tried on a second agent. */
  readonly dialRetries: Counter;
  /** Streams that are paused because a reader behind them is full. */
  readonly fullReceiveChannels: PerServiceMethod;
  readonly frontendPackets: CodedPacketMeter;
  readonly agentPackets: CodedPacketMeter;
  readonly leases: LeaseMetrics;
  readonly #readyBackendConnections: Gauge;
  readonly #readyBackends: Family<"proxy_strategy", Gauge>;
  readonly #dialFailures: Readonly<Record<DialFailureReason, Counter>>;
  readonly #connections: ConnectionMetrics;
  readonly #links: LinkMetrics;

  constructor(options: { readonly version: string }) {
    const registry = openRegistry(options);
    this.registry = registry;
    this.dialDuration = histogram(registry, {
      name: `${prefix}dial_duration_seconds`,
      help: "Latency of dial to the remote endpoint in seconds",
      bounds: latencyBounds,
    });
    this.frontendWriteDuration = histogram(registry, {
      name: `${prefix}frontend_write_duration_seconds`,
      help: "Latency of write to the frontend in seconds",
      bounds: latencyBounds,
    });
    this.connectionDuration = histogram(registry, {
      name: `${prefix}connection_duration_seconds`,
      help: "Time between the establishment of a connection and its end, in seconds.",
      bounds: lifetimeBounds,
    });
    this.grpcConnections = perServiceMethod(registry, {
      name: `${prefix}grpc_connections`,
      help: "Number of current grpc connections, partitioned by service method.",
    });
    this.httpConnections = gauge(registry, {
      name: `${prefix}http_connections`,
      help: "Number of current HTTP CONNECT connections",
    });
    this.#readyBackendConnections = gauge(registry, {
      name: `${prefix}ready_backend_connections`,
      help: "Number of konnectivity agent connected to the proxy server. DEPRECATED, please use ready_backends",
      aggregator: "min",
    });
    this.#readyBackends = gauges(registry, {
      name: `${prefix}ready_backends`,
      help: "Number of konnectivity agent connected to the proxy server",
      aggregator: "min",
      labels: ["proxy_strategy"],
    });
    this.pendingDials = gauge(registry, {
      name: `${prefix}pending_backend_dials`,
      help: "Current number of pending backend dial requests",
    });
    this.established = gauge(registry, {
      name: `${prefix}established_connections`,
      help: "Current number of established end-to-end connections (post-dial).",
    });
    this.fullReceiveChannels = perServiceMethod(registry, {
      name: `${prefix}full_receive_channels`,
      help: "Number of current connections blocked by a full receive channel, partitioned by service method.",
    });
    const failures = counters(registry, {
      name: `${prefix}dial_failure_count`,
      help: "Number of dial failures observed. Multiple failures can occur for a single dial request.",
      labels: ["reason"],
    });
    this.#dialFailures = byValue(dialFailureReasons, (reason) => failures.labelled({ reason }));
    const packets = new PacketMetrics(registry, prefix);
    this.frontendPackets = packets.meter({ sent: "to_client", received: "from_client" });
    this.agentPackets = packets.meter({ sent: "to_agent", received: "from_agent" });
    this.leases = leaseMetrics(registry);
    this.dialRetries = counter(registry, {
      name: "hawser_server_dial_retries_total",
      help: "Dials that were tried on a second agent, since the first was lost or had no room.",
    });
    this.#links = new LinkMetrics(registry);
    this.#connections = new ConnectionMetrics(registry, "server");
  }

  /** Bytes carried, by where they go. */
  get bytes(): ConnectionMetrics["bytes"] {
    return this.#connections.bytes;
  }

  /** From now on shows what these links say of themselves. */
  watchLinks(links: Iterable<AgentLink>): void {
    this.#links.watch(links);
    this.#connections.watchLanes(() => [...links].map(({ lanes }) => lanes));
  }

  /** From now on shows what this budget counts. */
  watch(budget: HeldFigures): void {
    this.#connections.watch(budget);
  }

  get stalledResets(): Counter {
    return this.#connections.stalledResets;
  }

  /** In the reference's terms, by what happened on the way. */
  dialFailed(reason: DialFailureReason): void {
    this.#dialFailures[reason].inc();
  }

  /** In ours: once per dial that brought no connection. */
  dialsFailed(code: ErrorCode): void {
    this.#connections.dialFailed(code);
  }

  connectionClosed(report: CloseReport): void {
    this.#connections.closed(report);
  }

  /** `limit` names the limit that was reached, in this program's words. */
  refused(limit: string): void {
    this.#connections.refused(limit);
  }

  /** How many identifiers each strategy knows, and how many agents are linked. */
  setReadyBackends(
    readyBackends: ReadonlyMap<"default" | "destHost" | "defaultRoute", number>,
    agentCount: number,
  ): void {
    for (const [strategy, count] of readyBackends)
      this.#readyBackends.labelled({ proxy_strategy: strategy }).set(count);
    this.#readyBackendConnections.set(agentCount);
  }
}

function perServiceMethod(
  registry: Registry,
  named: { readonly name: string; readonly help: string },
): PerServiceMethod {
  const family = gauges(registry, { ...named, labels: ["service_method"] });
  return byValue(serviceMethods, (method) => family.labelled({ service_method: method }));
}

function leaseMetrics(registry: Registry): LeaseMetrics {
  const calls = (verb: "list" | "delete", help: { readonly total: string; readonly latency: string }) =>
    callMeter(registry, {
      codeLabel: "http_status_code",
      calls: {
        name: `${prefix}lease_${verb}_total`,
        help: help.total,
      },
      latency: {
        name: `${prefix}lease_${verb}_latency_seconds`,
        help: help.latency,
        bounds: callBounds,
      },
    });
  return {
    lists: calls("list", {
      // The reference's words also where they speak of the other call.
      total:
        "Count of lease deletion calls by the garbage collection controller. Labeled by HTTP status code and reason.",
      latency: "Latency of lease list calls by the garbage collection controller in seconds.",
    }),
    deletes: calls("delete", {
      total:
        "Count of lease delection calls by the garbage collection controller. Labeled by HTTP status code and reason.",
      latency: "Latency of lease deletion calls by the garbage collection controller in seconds.",
    }),
    culled: counter(registry, {
      name: `${prefix}culled_leases_count`,
      help: "Count of expired leases that the lease garbage collection controller has culled.",
    }),
  };
}

import { describe, expect, it } from "vitest";
import { ServerMetrics } from "../../../server/metrics.ts";
import { expose } from "../../../shared/metrics/registry.ts";
import { type FamilyRow, familiesOf, rowOf } from "../shared/metrics/exposition.ts";

const reference = "konnectivity_network_proxy_server_";
const latency = ["1e-06", "1e-05", "0.0001", "0.005", "0.025", "0.1", "0.5", "2.5", "12.5", "+Inf"];
const lifetime = ["1", "5", "15", "30", "60", "300", "900", "1800", "3600", "14400", "43200", "86400", "+Inf"];

const calls = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/** The reference's families: names, types, labels, buckets and HELP. */
const contract: Readonly<Record<string, FamilyRow>> = {
  dial_duration_seconds: {
    type: "histogram",
    labels: [],
    buckets: latency,
    help: "Latency of dial to the remote endpoint in seconds",
  },
  frontend_write_duration_seconds: {
    type: "histogram",
    labels: [],
    buckets: latency,
    help: "Latency of write to the frontend in seconds",
  },
  connection_duration_seconds: { type: "histogram", labels: [], buckets: lifetime, help: /./ },
  grpc_connections: {
    type: "gauge",
    labels: ["service_method"],
    help: "Number of current grpc connections, partitioned by service method.",
  },
  http_connections: { type: "gauge", labels: [], help: "Number of current HTTP CONNECT connections" },
  ready_backend_connections: {
    type: "gauge",
    labels: [],
    help: "Number of konnectivity agent connected to the proxy server. DEPRECATED, please use ready_backends",
  },
  ready_backends: {
    type: "gauge",
    labels: ["proxy_strategy"],
    help: "Number of konnectivity agent connected to the proxy server",
  },
  pending_backend_dials: { type: "gauge", labels: [], help: "Current number of pending backend dial requests" },
  established_connections: {
    type: "gauge",
    labels: [],
    help: "Current number of established end-to-end connections (post-dial).",
  },
  full_receive_channels: {
    type: "gauge",
    labels: ["service_method"],
    help: "Number of current connections blocked by a full receive channel, partitioned by service method.",
  },
  dial_failure_count: {
    type: "counter",
    labels: ["reason"],
    help: "Number of dial failures observed. Multiple failures can occur for a single dial request.",
  },
  stream_packets_total: {
    type: "counter",
    labels: ["packet_type", "segment"],
    help: "Count of packets processed, by segment and packet type (example: from_client, DIAL_REQ)",
  },
  stream_errors_total: {
    type: "counter",
    labels: ["code", "packet_type", "segment"],
    help: "Count of gRPC stream errors, by segment, grpc Code, packet type. (example: from_agent, Code.Unavailable, DIAL_RSP)",
  },
  culled_leases_count: {
    type: "counter",
    labels: [],
    help: "Count of expired leases that the lease garbage collection controller has culled.",
  },
  lease_delete_total: {
    type: "counter",
    labels: ["http_status_code", "reason"],
    help: "Count of lease delection calls by the garbage collection controller. Labeled by HTTP status code and reason.",
  },
  lease_delete_latency_seconds: {
    type: "histogram",
    labels: ["http_status_code"],
    buckets: calls,
    help: "Latency of lease deletion calls by the garbage collection controller in seconds.",
  },
  lease_list_total: {
    type: "counter",
    labels: ["http_status_code", "reason"],
    help: "Count of lease deletion calls by the garbage collection controller. Labeled by HTTP status code and reason.",
  },
  lease_list_latency_seconds: {
    type: "histogram",
    labels: ["http_status_code"],
    buckets: calls,
    help: "Latency of lease list calls by the garbage collection controller in seconds.",
  },
};

const reasons = [
  "no_agent",
  "error_response",
  "unrecognized_response",
  "send_rsp",
  "backend_close",
  "backend_dial_timeout",
  "frontend_close",
] as const;

function everythingOnce(metrics: ServerMetrics): void {
  metrics.dialDuration.observe(0.02);
  metrics.frontendWriteDuration.observe(0.000002);
  metrics.connectionDuration.observe(90);
  for (const method of ["Proxy", "Connect"] as const) {
    metrics.grpcConnections[method].inc();
    metrics.fullReceiveChannels[method].inc();
  }
  metrics.setReadyBackends(new Map([["destHost", 3] as const, ["default", 2] as const]), 2);
  for (const reason of reasons) metrics.dialFailed(reason);
  metrics.frontendPackets.received("DIAL_REQ");
  metrics.frontendPackets.sent("DIAL_RSP");
  metrics.agentPackets.received("DIAL_RSP");
  metrics.agentPackets.sent("DIAL_REQ");
  metrics.agentPackets.sendFailed("DATA");
  metrics.dialsFailed("refused");
  metrics.connectionClosed({ by: "endpoint", code: "ok", bytesToEndpoint: 0, bytesToFrontend: 5 });
  metrics.refused("links");
  metrics.leases.lists.answered(200, "", 0.1);
  metrics.leases.deletes.answered(409, "Conflict", 0.1);
}

describe("the server's metrics", () => {
  it("are the reference's families", async () => {
    const metrics = new ServerMetrics({ version: "0" });
    everythingOnce(metrics);
    const families = familiesOf(await expose(metrics.registry), reference);
    expect(Object.fromEntries(Object.entries(families).map(([name, family]) => [name, rowOf(family)]))).toEqual(
      Object.fromEntries(
        Object.entries(contract).map(([name, row]) => [
          name,
          { ...row, help: typeof row.help === "string" ? row.help : expect.stringMatching(row.help) },
        ]),
      ),
    );
    const valuesOf = (name: string, label: string) =>
      [...new Set(families[name]?.samples.map(({ labels }) => labels[label]))].sort();
    expect(valuesOf("dial_failure_count", "reason")).toEqual([...reasons].sort());
    expect(valuesOf("grpc_connections", "service_method")).toEqual(["Connect", "Proxy"]);
    expect(valuesOf("ready_backends", "proxy_strategy")).toEqual(["default", "destHost"]);
    expect(valuesOf("stream_packets_total", "segment")).toEqual(["from_agent", "from_client", "to_agent", "to_client"]);
    expect(families.ready_backend_connections?.samples[0]?.value).toBe(2);
  });

  it("are, besides those, Hawser's own", async () => {
    const metrics = new ServerMetrics({ version: "0" });
    everythingOnce(metrics);
    metrics.stalledResets.inc();
    metrics.bytes.toFrontend.inc(5);
    metrics.watch({ heldBytes: 7, stalledCount: 1 });
    const families = familiesOf(await expose(metrics.registry), "hawser_server_");
    const samples = Object.entries(families).map(([name, family]) => [
      name,
      family.samples.map(({ labels, value }) => [...Object.values(labels), value]),
    ]);
    expect(Object.fromEntries(samples)).toEqual({
      bytes_total: [["to_frontend", 5]],
      held_bytes: [[7]],
      agents: [
        ["ready", 0],
        ["unresponsive", 0],
        ["draining", 0],
      ],
      lanes: [
        ["in_use", 0],
        ["spare", 0],
      ],
      stalled_connections: [[1]],
      connections_closed_total: [["endpoint", "ok", 1]],
      dial_retries_total: [[0]],
      dials_failed_total: [["refused", 1]],
      refused_total: [["links", 1]],
      stalled_resets_total: [[1]],
    });
  });

  it("show what has no labels from the start, and nothing else of the reference's", async () => {
    const families = familiesOf(await expose(new ServerMetrics({ version: "0" }).registry), reference);
    const samples = Object.entries(families).map(([name, family]) => [name, family.samples.map(({ value }) => value)]);
    expect(Object.fromEntries(samples)).toEqual({
      culled_leases_count: [0],
      established_connections: [0],
      http_connections: [0],
      pending_backend_dials: [0],
      ready_backend_connections: [0],
    });
  });
});

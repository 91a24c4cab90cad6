import { describe, expect, it } from "vitest";
import { AgentMetrics } from "../../../agent/metrics.ts";
import { GrpcCode } from "../../../shared/grpc/status.ts";
import { expose } from "../../../shared/metrics/registry.ts";
import { type FamilyRow, familiesOf, rowOf } from "../shared/metrics/exposition.ts";

const reference = "konnectivity_network_proxy_agent_";

const callBuckets = ["0.005", "0.025", "0.1", "0.5", "2.5", "10", "30", "+Inf"];

/** The reference's families: names, types, labels, buckets and HELP. */
const contract: Readonly<Record<string, FamilyRow>> = {
  dial_duration_seconds: {
    type: "histogram",
    labels: [],
    buckets: callBuckets,
    help: "Latency of dial to the remote endpoint in seconds",
  },
  endpoint_dial_failure_total: {
    type: "counter",
    labels: ["reason"],
    help: "Number of failures dialing the remote endpoint, by reason (example: timeout).",
  },
  server_connection_failure_count: {
    type: "counter",
    labels: ["direction"],
    help: "Count of failures to send to or receive from the proxy server, labeled by the direction (from_server or to_server). DEPRECATED, please use stream_events_error_total",
  },
  open_server_connections: { type: "gauge", labels: [], help: "Current number of open server connections." },
  known_server_count: { type: "gauge", labels: [], help: "Current number of servers agent is trying to connect to." },
  open_endpoint_connections: { type: "gauge", labels: [], help: "Current number of open endpoint connections." },
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
  lease_lists_total: {
    type: "counter",
    labels: ["http_response_code", "reason"],
    help: "Count of server lease list calls made by the agent to the k8s apiserver, labeled by HTTP response code and reason",
  },
  lease_watches_total: {
    type: "counter",
    labels: ["http_response_code", "reason"],
    help: "Count of server lease watch calls made by the agent to the k8s apiserver, labeled by HTTP response code and reason",
  },
  lease_list_latency_seconds: {
    type: "histogram",
    labels: ["http_response_code"],
    buckets: callBuckets,
    help: "Latency of server lease listing in seconds",
  },
};

/** Samples as `[...label values, value]`, by family. */
async function samplesOf(metrics: AgentMetrics, prefix: string) {
  const families = familiesOf(await expose(metrics.registry), prefix);
  const samples = Object.entries(families).map(([name, family]) => [
    name,
    family.samples.map(({ labels, value }) => [...Object.values(labels), value]),
  ]);
  return Object.fromEntries(samples) as Record<string, (string | number)[][]>;
}

describe("the agent's metrics", () => {
  it("are the reference's families", async () => {
    const metrics = new AgentMetrics({ version: "0" });
    metrics.dialDuration.observe(0.02);
    metrics.endpointDialFailed("dial_timeout");
    metrics.packets.sent("DIAL_RSP");
    metrics.packets.sendFailed("DATA");
    metrics.leaseLists.answered(200, "", 0.1);
    metrics.leaseWatches.answered(410, "Expired");
    const families = familiesOf(await expose(metrics.registry), reference);
    expect(Object.fromEntries(Object.entries(families).map(([name, family]) => [name, rowOf(family)]))).toEqual(
      Object.fromEntries(
        Object.entries(contract).map(([name, row]) => [
          name,
          { ...row, help: typeof row.help === "string" ? row.help : expect.stringMatching(row.help) },
        ]),
      ),
    );
  });

  it("count failed dials in the reference's terms and in ours", async () => {
    const metrics = new AgentMetrics({ version: "0" });
    for (const code of ["dial_timeout", "refused", "dns"] as const) metrics.endpointDialFailed(code);
    const { endpoint_dial_failure_total } = await samplesOf(metrics, reference);
    expect(endpoint_dial_failure_total).toEqual([
      ["timeout", 1],
      ["unknown", 2],
    ]);
    const { dials_failed_total } = await samplesOf(metrics, "hawser_agent_");
    expect(dials_failed_total).toEqual([
      ["dial_timeout", 1],
      ["refused", 1],
      ["dns", 1],
    ]);
  });

  it("count failures of the stream also in the deprecated family", async () => {
    const metrics = new AgentMetrics({ version: "0" });
    metrics.packets.sent("DATA");
    metrics.packets.received("DATA");
    metrics.packets.sendFailed("DATA");
    metrics.packets.receiveFailed();
    metrics.packets.receiveFailed(GrpcCode.UNAVAILABLE);
    expect(await samplesOf(metrics, reference)).toMatchObject({
      stream_packets_total: [
        ["from_agent", "DATA", 1],
        ["to_agent", "DATA", 1],
      ],
      stream_errors_total: [
        ["from_agent", "Unavailable", "DATA", 1],
        ["to_agent", "Unknown", "Unknown", 1],
        ["to_agent", "Unavailable", "Unknown", 1],
      ],
      server_connection_failure_count: [
        ["to_server", 1],
        ["from_server", 2],
      ],
    });
  });

  it("count closed connections with their bytes", async () => {
    const metrics = new AgentMetrics({ version: "0" });
    metrics.connectionClosed({ by: "frontend", code: "ok", bytesToEndpoint: 7, bytesToFrontend: 9 });
    metrics.connectionClosed({ by: "frontend", code: "ok", bytesToEndpoint: 1, bytesToFrontend: 0 });
    metrics.refused("connections");
    metrics.watchLinks(() => [{ lanes: { inUse: 2, spare: 4 }, roundTripMs: 2 }, { roundTripMs: 7 }, {}]);
    metrics.bytes.toEndpoint.inc(8);
    metrics.bytes.toFrontend.inc(9);
    expect(await samplesOf(metrics, "hawser_agent_")).toEqual({
      bytes_total: [
        ["to_endpoint", 8],
        ["to_frontend", 9],
      ],
      connections_closed_total: [["frontend", "ok", 2]],
      refused_total: [["connections", 1]],
      stalled_resets_total: [[0]],
      held_bytes: [[0]],
      server_round_trip_max_seconds: [[0.007]],
      lanes: [
        ["in_use", 2],
        ["spare", 4],
      ],
      stalled_connections: [[0]],
    });
  });

  it("show gauges without labels from the start, and nothing else of the reference's", async () => {
    expect(await samplesOf(new AgentMetrics({ version: "0" }), reference)).toEqual({
      known_server_count: [[0]],
      open_endpoint_connections: [[0]],
      open_server_connections: [[0]],
    });
  });
});

import type { FrontendKind } from "../support/processes.ts";
import { controlPlaneAddress, nodeAddress } from "./node-namespace.ts";

/** The arguments with which the reference's own manifests start both halves. */
export interface ManifestArguments {
  /** Where in the reference's repository, at v0.36.0, they stand. */
  readonly source: string;
  readonly protocol: FrontendKind["protocol"];
  readonly socket: string;
  readonly server: readonly string[];
  readonly agent: readonly string[];
}

// What follows is quoted, with what kubelet or envsubst would put in its place already there: $(HOST_IP) and ${CLUSTER_IP}. A
// ${HOST_IP} stays: nothing expands it, and so it reaches the agent.
const hostIp = nodeAddress;
// biome-ignore lint/suspicious/noTemplateCurlyInString: quoted as it stands.
const unexpanded = "--agent-identifiers=ipv4=${HOST_IP}";

const clusterIp = controlPlaneAddress;

const kindSocket = "/etc/kubernetes/konnectivity-server/konnectivity-server.socket";

const kindServer = [
  "--log-file=/var/log/konnectivity-server.log",
  "--logtostderr=true",
  "--log-file-max-size=0",
  `--uds-name=${kindSocket}`,
  "--delete-existing-uds-file",
  "--cluster-cert=/etc/kubernetes/pki/apiserver.crt",
  "--cluster-key=/etc/kubernetes/pki/apiserver.key",
  "--server-port=0",
  "--agent-port=8091",
  "--health-port=8092",
  "--admin-port=8093",
  "--keepalive-time=1h",
  "--mode=grpc",
  "--agent-namespace=kube-system",
  "--agent-service-account=konnectivity-agent",
  "--kubeconfig=/etc/kubernetes/admin.conf",
  "--authentication-audience=system:konnectivity-server",
];

const agentBeginning = [
  "--logtostderr=true",
  "--ca-cert=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
  "--proxy-server-host=konnectivity-server.kube-system.svc.cluster.local",
  "--proxy-server-port=8091",
];
const tokenPath = "--service-account-token-path=/var/run/secrets/tokens/konnectivity-agent-token";

/** The tests of the reference with real nodes; `counting` is what they tell each half about the number of servers. */
function e2e(
  file: string,
  mode: string,
  counting: { readonly server: (admin: string) => readonly string[]; readonly agent: readonly string[] },
): ManifestArguments {
  return {
    source: `e2e/${file}, mode ${mode}`,
    protocol: mode === "grpc" ? "grpc" : "connect",
    socket: kindSocket,
    server: [
      "--log-file=/var/log/konnectivity-server.log",
      "--logtostderr=true",
      "--log-file-max-size=0",
      `--uds-name=${kindSocket}`,
      "--delete-existing-uds-file",
      "--cluster-cert=/etc/kubernetes/pki/apiserver.crt",
      "--cluster-key=/etc/kubernetes/pki/apiserver.key",
      "--server-port=0",
      "--kubeconfig=/etc/kubernetes/admin.conf",
      "--keepalive-time=1h",
      "--mode=grpc",
      "--agent-namespace=kube-system",
      "--agent-service-account=konnectivity-agent",
      "--authentication-audience=system:konnectivity-server",
      ...counting.server("--admin-bind-address="),
      `--mode=${mode}`,
    ],
    agent: [
      ...agentBeginning,
      "--sync-interval=1s",
      "--sync-interval-cap=10s",
      "--sync-forever",
      "--probe-interval=1s",
      tokenPath,
      ...counting.agent,
      unexpanded,
      "--admin-bind-address=",
    ],
  };
}

const staticCount = { server: (admin: string) => [admin, "--server-count=1"], agent: [] };
const leaseCount = {
  server: (admin: string) => ["--enable-lease-controller", admin],
  agent: ["--count-server-leases"],
};

export const manifestArguments: readonly ManifestArguments[] = [
  {
    source: "examples/kind",
    protocol: "grpc",
    socket: kindSocket,
    server: kindServer,
    agent: [
      ...agentBeginning,
      "--sync-interval=5s",
      "--sync-interval-cap=30s",
      "--probe-interval=5s",
      tokenPath,
      `--agent-identifiers=ipv4=${hostIp}`,
    ],
  },
  {
    source: "examples/kind-multinode",
    protocol: "grpc",
    socket: kindSocket,
    server: [...kindServer, "--enable-lease-controller"],
    agent: [
      ...agentBeginning,
      "--sync-interval=5s",
      "--sync-interval-cap=30s",
      "--sync-forever",
      "--probe-interval=5s",
      tokenPath,
      unexpanded,
      "--count-server-leases",
    ],
  },
  e2e("static_count_test.go", "grpc", staticCount),
  e2e("static_count_test.go", "http-connect", staticCount),
  e2e("lease_count_test.go", "grpc", leaseCount),
  e2e("lease_count_test.go", "http-connect", leaseCount),
  {
    source: "examples/kubernetes",
    protocol: "connect",
    socket: "/etc/srv/kubernetes/konnectivity-server/konnectivity-server.socket",
    server: [
      "--log-file=/var/log/konnectivity-server.log",
      "--logtostderr=false",
      "--log-file-max-size=0",
      "--uds-name=/etc/srv/kubernetes/konnectivity-server/konnectivity-server.socket",
      "--cluster-cert=/etc/srv/kubernetes/pki/apiserver.crt",
      "--cluster-key=/etc/srv/kubernetes/pki/apiserver.key",
      "--server-port=0",
      "--agent-port=8091",
      "--health-port=8092",
      "--admin-port=8093",
      "--keepalive-time=1h",
      "--mode=http-connect",
      "--agent-namespace=kube-system",
      "--agent-service-account=konnectivity-agent",
      "--kubeconfig=/etc/srv/kubernetes/konnectivity-server/kubeconfig",
      "--authentication-audience=system:konnectivity-server",
    ],
    agent: [
      "--logtostderr=true",
      "--ca-cert=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
      `--proxy-server-host=${clusterIp}`,
      "--proxy-server-port=8091",
      tokenPath,
    ],
  },
];

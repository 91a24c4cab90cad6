import { commonFlags, halfCloseTimeoutFlag, httpGroup, profilingFlags } from "../shared/options/common-flags.ts";
import { type FlagTable, works } from "../shared/options/flag.ts";

const frontend = "Frontend (kube-apiserver)";
const agents = "Agents";
const routing = "Routing";
const tls = "TLS";
const kubernetes = "Kubernetes";
const limits = "Limits";

/** The flags of `proxy-server`. The reference's first, then our own. */
export const serverFlags = {
  mode: {
    type: "string",
    default: "grpc",
    group: frontend,
    help: "What the frontend speaks: grpc, http-connect, or auto to tell them apart on one listener.",
    status: works,
  },
  "uds-name": {
    type: "string",
    default: "",
    group: frontend,
    help: "Path of a Unix domain socket to serve the frontend on, in place of TCP. Needs --server-port=0.",
    status: works,
  },
  "delete-existing-uds-file": {
    type: "bool",
    default: "true",
    group: frontend,
    help: "Remove the socket file before listening.",
    status: works,
  },
  "server-bind-address": {
    type: "string",
    default: "",
    group: frontend,
    help: "Address of the frontend's TCP listener; empty means all.",
    status: works,
  },
  "server-port": {
    type: "int",
    default: "8090",
    group: frontend,
    help: "Port of the frontend's TCP listener; 0 with --uds-name.",
    status: works,
  },
  "server-cert": {
    type: "string",
    default: "",
    group: frontend,
    help: "PEM certificate of the frontend's TCP listener.",
    status: works,
  },
  "server-key": { type: "string", default: "", group: frontend, help: "Its private key.", status: works },
  "server-ca-cert": {
    type: "string",
    default: "",
    group: frontend,
    help: "PEM bundle of the authorities that sign frontend clients' certificates. Required over TCP.",
    status: works,
  },
  "frontend-keepalive-time": {
    type: "duration",
    default: "1h",
    group: frontend,
    help: "How long a frontend connection may be silent before it is pinged; at least 1s.",
    status: works,
  },

  "agent-bind-address": {
    type: "string",
    default: "",
    group: agents,
    help: "Address of the agent listener; empty means all.",
    status: works,
  },
  "agent-port": { type: "int", default: "8091", group: agents, help: "Port of the agent listener.", status: works },
  "cluster-cert": {
    type: "string",
    default: "",
    group: agents,
    help: "PEM certificate of the agent listener. Required.",
    status: works,
  },
  "cluster-key": { type: "string", default: "", group: agents, help: "Its private key. Required.", status: works },
  "cluster-ca-cert": {
    type: "string",
    default: "",
    group: agents,
    help: "PEM bundle of the authorities that sign agents' certificates. If set, an agent must present one.",
    status: works,
  },
  "allow-unauthenticated-agents": {
    type: "bool",
    default: "false",
    group: agents,
    help: "Take any agent that reaches the agent port, if neither certificates nor tokens are checked.",
    status: works,
  },
  "agent-namespace": {
    type: "string",
    default: "",
    group: agents,
    help: "Namespace that an agent's token must be of; switches token authentication on, as do the next two.",
    status: works,
  },
  "agent-service-account": {
    type: "string",
    default: "",
    group: agents,
    help: "Service account that an agent's token must be of.",
    status: works,
  },
  "authentication-audience": {
    type: "string",
    default: "",
    group: agents,
    help: "Audience that an agent's token must be for.",
    status: works,
  },
  "keepalive-time": {
    type: "duration",
    default: "1h",
    group: agents,
    help: "How long an agent's connection may be silent before it is pinged; at least 1s.",
    status: works,
  },

  "server-id": {
    type: "string",
    default: "",
    defaultNote: "$PROXY_SERVER_ID, else a random UUID",
    group: routing,
    help: "Name of this server, by which agents tell servers apart.",
    status: works,
  },
  "server-count": {
    type: "int",
    default: "1",
    group: routing,
    help: "How many servers there are; agents link to as many.",
    status: works,
  },
  "proxy-strategies": {
    type: "string",
    default: "default",
    group: routing,
    help: "Ways to choose an agent, in order: a comma list of default, destHost, defaultRoute.",
    status: works,
  },

  "tls-min-version": {
    type: "string",
    default: "",
    defaultNote: "VersionTLS12",
    group: tls,
    help: "Oldest TLS version of the frontend and agent listeners: VersionTLS10, VersionTLS11, VersionTLS12 or VersionTLS13.",
    status: works,
  },
  "cipher-suites": {
    type: "strings",
    default: "",
    group: tls,
    help: "Cipher suites of those listeners by IANA name; empty means all that are sound.",
    status: works,
  },

  "health-bind-address": {
    type: "string",
    default: "",
    group: httpGroup,
    help: "Address of the health listener; empty means all.",
    status: works,
  },
  "health-port": {
    type: "int",
    default: "8092",
    group: httpGroup,
    help: "Port of the health listener.",
    status: works,
  },
  "admin-bind-address": {
    type: "string",
    default: "127.0.0.1",
    group: httpGroup,
    help: "Address of the admin listener; an empty value means all.",
    status: works,
  },
  "admin-port": { type: "int", default: "8095", group: httpGroup, help: "Port of the admin listener.", status: works },
  ...profilingFlags,

  "backend-dial-timeout": {
    type: "duration",
    default: "8s",
    group: limits,
    help: "How long a dial may take in all; 0 means 30s, after which the reference's clients give up.",
    status: works,
  },
  "graceful-shutdown-timeout": {
    type: "duration",
    default: "15s",
    group: limits,
    help: "How long connections may take to end after SIGTERM; 0 means none.",
    status: works,
  },
  "half-close-timeout": halfCloseTimeoutFlag,
  "xfr-channel-size": {
    type: "int",
    default: "10",
    group: limits,
    help: "Packets that a stream's queue holds.",
    status: { kind: "no-op", reason: "queues are bounded in bytes" },
  },
  "warn-on-channel-limit": {
    type: "bool",
    default: "true",
    group: limits,
    help: "Warn when a queue is full.",
    status: { kind: "deprecated", reason: "the reference ignores it too and will drop it" },
  },

  kubeconfig: {
    type: "string",
    default: "",
    group: kubernetes,
    help: "Kubeconfig for token reviews and leases; empty means that of the pod.",
    status: works,
  },
  "kubeconfig-qps": {
    type: "float32",
    default: "0",
    group: kubernetes,
    help: "Calls a second to the Kubernetes API; 0 means 100, less than 0 no limit.",
    status: works,
  },
  "kubeconfig-burst": {
    type: "int",
    default: "0",
    group: kubernetes,
    help: "Calls at once to the Kubernetes API; 0 means twice those of a second.",
    status: works,
  },
  "kube-api-content-type": {
    type: "string",
    default: "application/vnd.kubernetes.protobuf",
    group: kubernetes,
    help: "Content type towards the Kubernetes API.",
    status: { kind: "no-op", reason: "this program speaks JSON with it, which every version of it takes" },
  },
  "enable-lease-controller": {
    type: "bool",
    default: "false",
    group: kubernetes,
    help: "Publish a lease for this server and remove expired ones.",
    status: works,
  },
  "lease-namespace": {
    type: "string",
    default: "kube-system",
    group: kubernetes,
    help: "Namespace of the leases.",
    status: works,
  },
  "lease-label": {
    type: "string",
    default: "k8s-app=konnectivity-server",
    group: kubernetes,
    help: "Labels of the leases, a comma list of key=value.",
    status: works,
  },
  ...commonFlags,
} as const satisfies FlagTable;

import {
  commonFlags,
  halfCloseTimeoutFlag,
  heldBytesFlag,
  httpGroup,
  profilingFlags,
} from "../shared/options/common-flags.ts";
import { type FlagTable, works } from "../shared/options/flag.ts";

const server = "Server";
const identity = "Identity";
const linking = "Linking";
const kubernetes = "Kubernetes";
const limits = "Limits";

const serverLabel = "k8s-app=konnectivity-server";

/** The flags of `proxy-agent`. The reference's first, then our own. */
export const agentFlags = {
  "proxy-server-host": {
    type: "string",
    default: "127.0.0.1",
    group: server,
    help: "Name or address of the server; its certificate must be for it.",
    status: works,
  },
  "proxy-server-port": {
    type: "int",
    default: "8091",
    group: server,
    help: "Port of the server's agent listener.",
    status: works,
  },
  "ca-cert": {
    type: "string",
    default: "",
    group: server,
    help: "PEM bundle of the authorities that sign servers' certificates. Required; the system's are never used.",
    status: works,
  },
  "alpn-proto": {
    type: "strings",
    default: "",
    group: server,
    help: "Protocols to offer by ALPN before h2, for a load balancer that goes by them.",
    status: works,
  },
  "link-protocol": {
    type: "string",
    default: "auto",
    group: server,
    help:
      "How to speak with servers: auto uses Hawser's own link where the server has it, konnectivity always the reference's, " +
      "on which one connection can hold up others.",
    status: works,
  },
  "keepalive-time": {
    type: "duration",
    default: "1h",
    group: server,
    help: "How long a server's connection may be silent before it is pinged.",
    status: {
      kind: "no-op",
      reason: "a server is pinged after 31s of silence, which is as often as the reference's server allows",
    },
  },

  "agent-id": {
    type: "string",
    default: "",
    defaultNote: "$PROXY_AGENT_ID, else a random UUID",
    group: identity,
    help: "Name of this agent, by which servers tell agents apart.",
    status: works,
  },
  "agent-identifiers": {
    type: "string",
    default: "",
    group: identity,
    help:
      "What this agent can reach, as a URL query with the keys ipv4, ipv6, host, cidr and default-route: " +
      "host=node-1&ipv4=10.0.0.1&default-route=true.",
    status: works,
  },
  "agent-cert": {
    type: "string",
    default: "",
    group: identity,
    help: "PEM certificate to present to the server.",
    status: works,
  },
  "agent-key": { type: "string", default: "", group: identity, help: "Its private key.", status: works },
  "service-account-token-path": {
    type: "string",
    default: "",
    group: identity,
    help: "File with the token to present to the server, read again for each connection.",
    status: works,
  },

  "sync-interval": {
    type: "duration",
    default: "1s",
    group: linking,
    help: "How often to look for servers without a link; a failed attempt is followed by longer waits.",
    status: works,
  },
  "sync-interval-cap": {
    type: "duration",
    default: "10s",
    group: linking,
    help: "The longest of these waits.",
    status: works,
  },
  "probe-interval": {
    type: "duration",
    default: "1s",
    group: linking,
    help: "How often to check that links are alive.",
    status: { kind: "no-op", reason: "the end of a link is an event, and nothing has to look for it" },
  },
  "sync-forever": {
    type: "bool",
    default: "false",
    group: linking,
    help: "Go on looking for servers, ever less often, when as many are linked as there should be.",
    status: works,
  },
  "server-count-source": {
    type: "string",
    default: "default",
    group: linking,
    help: "With --count-server-leases, which count of servers to believe: default is that of leases, max the larger of it and the servers' own.",
    status: works,
  },
  "count-server-leases": {
    type: "bool",
    default: "false",
    group: linking,
    help: "Count servers by their leases.",
    status: works,
  },

  "health-server-host": {
    type: "string",
    default: "",
    group: httpGroup,
    help: "Address of the health listener; empty means all.",
    status: works,
  },
  "health-server-port": {
    type: "int",
    default: "8093",
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
  "admin-server-port": {
    type: "int",
    default: "8094",
    group: httpGroup,
    help: "Port of the admin listener.",
    status: works,
  },
  ...profilingFlags,

  "half-close-timeout": halfCloseTimeoutFlag,
  "max-held-mib": heldBytesFlag,
  "xfr-channel-size": {
    type: "int",
    default: "150",
    group: limits,
    help: "Packets that a connection's queue holds, each way.",
    status: { kind: "no-op", reason: "queues are bounded in bytes" },
  },
  "warn-on-channel-limit": {
    type: "bool",
    default: "false",
    group: limits,
    help: "Warn when a queue is full.",
    status: { kind: "no-op", reason: "queues are bounded in bytes, and a full one is waited for" },
  },

  kubeconfig: {
    type: "string",
    default: "",
    group: kubernetes,
    help: "Kubeconfig for counting leases; empty means the cluster that the pod runs in.",
    status: works,
  },
  "kube-api-content-type": {
    type: "string",
    default: "application/vnd.kubernetes.protobuf",
    group: kubernetes,
    help: "Content type towards the Kubernetes API.",
    status: { kind: "no-op", reason: "this program speaks JSON with it, which every version of it takes" },
  },
  "lease-namespace": {
    type: "string",
    default: "kube-system",
    group: kubernetes,
    help: "Namespace of the leases.",
    status: works,
  },
  "lease-label-selector": {
    type: "selector",
    default: serverLabel,
    group: kubernetes,
    help: "Which leases to count, as a label selector; empty means all.",
    status: works,
  },
  "lease-label": {
    type: "selector",
    default: serverLabel,
    aliasOf: "lease-label-selector",
    group: kubernetes,
    help: "The former name of --lease-label-selector.",
    status: { kind: "deprecated", reason: "its name is --lease-label-selector now" },
  },
  ...commonFlags,
} as const satisfies FlagTable;

import { randomUUID } from "node:crypto";
import { UsageError } from "../shared/errors.ts";
import {
  type HttpProxy,
  type ProxyEnvironment,
  proxyFor,
  readProxyEnvironment,
} from "../shared/http/proxy-environment.ts";
import type { KubernetesOptions } from "../shared/kubernetes/open-api.ts";
import type { LogOptions } from "../shared/log.ts";
import {
  bareHost,
  identifiersMaxBytes,
  idMaxBytes,
  type ListenAddress,
  requireHeaderText,
  requireLimit,
  requirePort,
  requirePositive,
  withPrefix,
} from "../shared/options/checks.ts";
import { answerFlags, heldBytesOf, logNotices, readLogOptions } from "../shared/options/common-flags.ts";
import type { KeyPairFiles } from "../shared/options/file-checks.ts";
import { toTimerMs } from "../shared/options/go-duration.ts";
import { parseFlags } from "../shared/options/pflag.ts";
import { flagValuesOf, noticesOf } from "../shared/options/standing.ts";
import { usageText } from "../shared/options/usage.ts";
import { goQuote } from "../shared/options/value-error.ts";
import type { ProgramCommand } from "../shared/program.ts";
import type { LeaseCounterOptions } from "./links/lease-counter.ts";
import type { ServerCountSource } from "./links/server-count.ts";
import { agentFlags } from "./options-flags.ts";
import { type AgentFlagValues, validateAgentFlags } from "./options-validate.ts";

const linkProtocols = ["auto", "konnectivity"] as const;
/** Which kinds of link to ask a server for. */
export type LinkProtocol = (typeof linkProtocols)[number];

/** What an agent runs with. Every duration fits Node's timers. */
export interface AgentOptions {
  readonly agentId: string;
  /** As given: a URL query, sent to servers verbatim. */
  readonly identifiers: string;
  /** Holds the token to present to servers. */
  readonly tokenFile: string | undefined;
  readonly server: {
    readonly host: string;
    readonly port: number;
    /** From the environment; undefined if the server is reached directly. */
    readonly proxy: HttpProxy | undefined;
    readonly caFile: string;
    readonly keyPair: KeyPairFiles | undefined;
    /** In the order to offer them; holds h2. */
    readonly alpn: readonly string[];
    readonly linkProtocol: LinkProtocol;
  };
  readonly health: ListenAddress;
  readonly admin: ListenAddress;
  /** Whether the admin listener serves profiles. */
  readonly profiling: boolean;
  readonly syncIntervalMs: number;
  readonly syncIntervalCapMs: number;
  readonly halfCloseTimeoutMs: number;
  /** What this process may hold for connections. */
  readonly heldBytesMax: number;
  readonly syncForever: boolean;
  readonly serverCountSource: ServerCountSource;
  /** Which leases to count servers by; undefined if they are not counted. */
  readonly leases: LeaseCounterOptions | undefined;
  /** Where kube-apiserver is; undefined if it is not needed. */
  readonly kubernetes: KubernetesOptions | undefined;
  readonly log: LogOptions;
  /** Lines to log at start: flags without effect, deprecated ones, a log file that is not used. */
  readonly notices: readonly string[];
  /** Every flag by name, for the start-up log; `--name=value` of them all gives the same options again. */
  readonly flagValues: readonly (readonly [string, string])[];
}

export type AgentCommand = ProgramCommand<AgentOptions>;

const alpnNameMaxBytes = 255;
/**
 * The reference speaks plain HTTP with the proxy also where its URL begins with https, and takes 443 where the port is left out.
 * Source: grpc-go
 */
const serverProxies = { schemes: ["http", "https"], defaultPort: 443 };
/** An agent makes a call or two every few minutes; this only bounds what a defect could do. */
const kubernetesRate = { qps: 5, burst: 10 };

const summary = "Links this network to a proxy-server and connects to what is asked for through it.";

/**
 * Turns a command line (without program name) into what it asks for. Checks the reference's rules first, in its order, then ours.
 * Looks at the file system only to see whether files exist. Throws UsageError.
 */
export function parseAgentOptions(argv: readonly string[], env: NodeJS.ProcessEnv): AgentCommand {
  const { values: given, explicit } = parseFlags(argv, agentFlags);
  if (given.help) return { kind: "help", text: usageText("proxy-agent", summary, agentFlags) };
  if (given.version) return { kind: "version" };
  const values = { ...given, "agent-id": given["agent-id"] || env.PROXY_AGENT_ID || randomUUID() };
  withPrefix("failed to validate agent options with ", () => validateAgentFlags(values));
  validateOwnRules(values);
  const notices = [...noticesOf(agentFlags, explicit), ...logNotices(values)];
  return { kind: "run", options: toOptions(values, env, notices) };
}

/** What the reference leaves to fail later, or does not have. */
function validateOwnRules(values: AgentFlagValues): void {
  if (values["ca-cert"] === "") {
    throw new UsageError(
      "failed to load CA cert: --ca-cert is required, since servers are verified by these authorities only",
    );
  }
  if (values["proxy-server-host"] === "") throw new UsageError("--proxy-server-host must not be empty");
  for (const name of ["proxy-server-port", "health-server-port", "admin-server-port"] as const) {
    requirePort(name, values[name]);
  }
  for (const name of ["sync-interval", "probe-interval", "half-close-timeout"] as const) {
    requirePositive(name, values[name]);
  }
  requireLimit("max-held-mib", values["max-held-mib"]);
  requireHeaderText("agent-id", values["agent-id"], idMaxBytes);
  requireHeaderText("agent-identifiers", values["agent-identifiers"], identifiersMaxBytes);
  readLinkProtocol(values["link-protocol"]);
  for (const protocol of values["alpn-proto"]) {
    const bytes = Buffer.byteLength(protocol);
    if (bytes === 0 || bytes > alpnNameMaxBytes) {
      throw new UsageError(`--alpn-proto: a protocol's name has 1 to ${alpnNameMaxBytes} bytes, got ${bytes}`);
    }
  }
}

/** Throws UsageError for an unknown one. */
function readLinkProtocol(text: string): LinkProtocol {
  const protocol = linkProtocols.find((name) => name === text);
  if (protocol === undefined)
    throw new UsageError(`--link-protocol must be one of 'auto', 'konnectivity', got ${goQuote(text)}`);
  return protocol;
}

function toOptions(values: AgentFlagValues, env: NodeJS.ProcessEnv, notices: readonly string[]): AgentOptions {
  const proxies = readProxyEnvironment(env);
  const server = serverOptions(values, proxies);
  return {
    agentId: values["agent-id"],
    identifiers: values["agent-identifiers"],
    tokenFile: values["service-account-token-path"] === "" ? undefined : values["service-account-token-path"],
    server,
    health: { host: bareHost(values["health-server-host"]), port: values["health-server-port"] },
    admin: { host: bareHost(values["admin-bind-address"]), port: values["admin-server-port"] },
    profiling: values["enable-profiling"],
    syncIntervalMs: toTimerMs(values["sync-interval"]),
    syncIntervalCapMs: toTimerMs(values["sync-interval-cap"]),
    halfCloseTimeoutMs: toTimerMs(values["half-close-timeout"]),
    heldBytesMax: heldBytesOf(values),
    syncForever: values["sync-forever"],
    serverCountSource: values["server-count-source"] === "max" ? "max" : "default",
    ...(values["count-server-leases"]
      ? {
          leases: { namespace: values["lease-namespace"], selector: values["lease-label-selector"] },
          kubernetes: {
            kubeconfig: values.kubeconfig,
            service: { host: env.KUBERNETES_SERVICE_HOST ?? "", port: env.KUBERNETES_SERVICE_PORT ?? "" },
            proxies,
            ...kubernetesRate,
          },
        }
      : { leases: undefined, kubernetes: undefined }),
    log: readLogOptions(values),
    notices: [...notices, ...proxyNotices(server.proxy)],
    flagValues: flagValuesOf(agentFlags, values, answerFlags),
  };
}

function serverOptions(values: AgentFlagValues, proxies: ProxyEnvironment): AgentOptions["server"] {
  const extraProtocols = values["alpn-proto"];
  const address = { host: bareHost(values["proxy-server-host"]), port: values["proxy-server-port"] };
  return {
    ...address,
    proxy: proxyFor(proxies, address, serverProxies),
    caFile: values["ca-cert"],
    keyPair: values["agent-cert"] === "" ? undefined : { certFile: values["agent-cert"], keyFile: values["agent-key"] },
    alpn: extraProtocols.includes("h2") ? extraProtocols : [...extraProtocols, "h2"],
    linkProtocol: readLinkProtocol(values["link-protocol"]),
  };
}

function proxyNotices(proxy: HttpProxy | undefined): readonly string[] {
  if (proxy?.scheme !== "https") return [];
  return ["HTTPS_PROXY begins with https, but CONNECT goes to the proxy without TLS, as the reference's does"];
}

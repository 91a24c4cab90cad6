import { randomUUID } from "node:crypto";
import { UsageError } from "../shared/errors.ts";
import { readProxyEnvironment } from "../shared/http/proxy-environment.ts";
import { parseLabels, selectorOf } from "../shared/kubernetes/lease.ts";
import type { KubernetesOptions } from "../shared/kubernetes/open-api.ts";
import type { LogOptions } from "../shared/log.ts";
import {
  bareHost,
  idMaxBytes,
  type ListenAddress,
  requireHeaderText,
  requirePositive,
  requireWithin,
  withPrefix,
} from "../shared/options/checks.ts";
import { answerFlags, logNotices, readLogOptions } from "../shared/options/common-flags.ts";
import type { KeyPairFiles } from "../shared/options/file-checks.ts";
import { toTimerMs } from "../shared/options/go-duration.ts";
import { parseLabelSelector } from "../shared/options/label-selector.ts";
import { parseFlags } from "../shared/options/pflag.ts";
import { flagValuesOf, noticesOf } from "../shared/options/standing.ts";
import { usageText } from "../shared/options/usage.ts";
import { ValueError } from "../shared/options/value-error.ts";
import type { ProgramCommand } from "../shared/program.ts";
import { minTlsVersion } from "../shared/tls/policy.ts";
import type { IdentifierPolicy } from "./authentication/identifier-policy.ts";
import type { ExpectedAccount } from "./authentication/token-review.ts";
import { type LeaseOptions, leaseName } from "./leases/lease-publisher.ts";
import { serverFlags } from "./options-flags.ts";
import { identityNotices, readIdentifierPolicy, validateIdentityFlags } from "./options-identity.ts";
import { readLimits, type ServerLimits, validateLimits } from "./options-limits.ts";
import {
  type FrontendMode,
  readMode,
  readStrategies,
  type ServerFlagValues,
  validateServerFlags,
} from "./options-validate.ts";
import type { StrategyName } from "./routing/strategies.ts";
import { serverIdOf } from "./workers/server-id.ts";

export interface TlsPolicy {
  readonly minVersion: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
  /** Go's names, for `openSslCiphers`. Empty means the default set. */
  readonly cipherSuites: readonly string[];
}

export type FrontendListen =
  | { readonly kind: "uds"; readonly path: string; readonly deleteExisting: boolean }
  | ({
      readonly kind: "tcp";
      readonly keyPair: KeyPairFiles;
      readonly caFile: string;
      /** Names of the client certificates that may come in; empty means all that the CA has signed. */
      readonly clientNames: readonly string[];
      readonly tls: TlsPolicy;
    } & ListenAddress);

export interface FrontendOptions {
  readonly mode: FrontendMode;
  readonly listen: FrontendListen;
}

/** What a server runs with. Every duration fits Node's timers. */
export interface ServerOptions {
  readonly serverId: string;
  readonly serverCount: number;
  /** 1 is this process alone. */
  readonly workers: number;
  readonly frontends: readonly FrontendOptions[];
  readonly agentListener: ListenAddress & {
    readonly keyPair: KeyPairFiles;
    /** Without one, agents are asked for no certificate. */
    readonly caFile: string | undefined;
    readonly tls: TlsPolicy;
  };
  /** Whose tokens agents must present; undefined if they need none. */
  readonly agentTokens: ExpectedAccount | undefined;
  readonly agentIdentifierPolicy: IdentifierPolicy;
  /** How to call kube-apiserver; undefined if nothing does. */
  readonly kubernetes: KubernetesOptions | undefined;
  readonly health: ListenAddress;
  readonly admin: ListenAddress;
  /** Whether the admin listener serves profiles. */
  readonly profiling: boolean;
  readonly strategies: readonly StrategyName[];
  readonly keepaliveMs: number;
  readonly frontendKeepaliveMs: number;
  readonly dialTimeoutMs: number;
  readonly halfCloseTimeoutMs: number;
  readonly gracefulShutdownTimeoutMs: number;
  readonly limits: ServerLimits;
  /** The lease to publish; undefined if this server has nothing to do with leases. */
  readonly leases: LeaseOptions | undefined;
  readonly log: LogOptions;
  /** Lines to log at start: flags without effect, deprecated ones, a log file that is not used, weak TLS, unchecked agents and claims. */
  readonly notices: readonly string[];
  /** Every flag by name, for the start-up log; `--name=value` of them all gives the same options again. */
  readonly flagValues: readonly (readonly [string, string])[];
}

export type ServerCommand = ProgramCommand<ServerOptions>;

/** No machine for this has more cores, and each agent links to each. */
const workersMax = 64;
/** When the reference's clients give a dial up. */
const clientDialTimeoutMs = 30_000;
/** grpc-go's keepalive: what 0 stands for, and the shortest interval. Source: the reference. */
const unsetKeepaliveMs = 7_200_000;
const minKeepaliveMs = 1_000;
/** Enough for the agents of a large cluster to come back within a minute, and no load for kube-apiserver. */
const unsetQps = 100;

/**
 * Turns a command line (without program name) into what it asks for. Checks the reference's rules first, in its order, then ours.
 * Looks at the file system only to see whether files exist. Throws UsageError.
 */
export function parseServerOptions(argv: readonly string[], env: NodeJS.ProcessEnv): ServerCommand {
  const { values: given, explicit } = parseFlags(argv, serverFlags);
  if (given.help) return { kind: "help", text: usageText("proxy-server", summary, serverFlags) };
  if (given.version) return { kind: "version" };
  const values = { ...given, "server-id": given["server-id"] || env.PROXY_SERVER_ID || randomUUID() };
  withPrefix("failed to validate server options with ", () => validateServerFlags(values));
  validateOwnRules(values);
  const notices = [...noticesOf(serverFlags, explicit), ...logNotices(values), ...securityNotices(values)];
  return { kind: "run", options: toOptions(values, env, notices) };
}

const summary =
  "Carries connections from a Kubernetes control plane to the networks of the agents that have linked to it.";

/** What the reference leaves to fail later, or does not have. */
function validateOwnRules(values: ServerFlagValues): void {
  if (values["cluster-cert"] === "") {
    throw new UsageError(
      "failed to run the agent server: failed to load X509 key pair: --cluster-cert and --cluster-key are required, since agents are served over TLS only",
    );
  }
  if (values["uds-name"] === "" && values["server-cert"] === "") {
    throw new UsageError(
      "failed to run the frontend server: failed to load X509 key pair: --server-cert and --server-key are required without --uds-name",
    );
  }
  if (!checksAgents(values) && !values["allow-unauthenticated-agents"]) {
    throw new UsageError(
      "whoever reaches the agent port could receive the control plane's connections: ask agents for a certificate with --cluster-ca-cert, " +
        "or check their tokens with --agent-namespace, --agent-service-account and --authentication-audience, " +
        "or accept that with --allow-unauthenticated-agents",
    );
  }
  validateIdentityFlags(values, checksAgents(values));
  requireWithin("workers", values.workers, { min: 1, max: workersMax });
  const suffix = lastServerId(values).length - values["server-id"].length;
  requireHeaderText("server-id", values["server-id"], idMaxBytes - suffix);
  requirePositive("half-close-timeout", values["half-close-timeout"]);
  validateLimits(values);
  if (values["enable-lease-controller"]) validateLease(values);
  if (values["kubeconfig-burst"] < 0) {
    throw new UsageError(`--kubeconfig-burst must be >= 0, got ${values["kubeconfig-burst"]}`);
  }
}

/** Whether an agent has to prove by certificate or token who it is. */
function checksAgents(values: ServerFlagValues): boolean {
  return values["cluster-ca-cert"] !== "" || readAgentTokens(values) !== undefined;
}

/** The longest id that this program goes by. */
function lastServerId(values: ServerFlagValues): string {
  return serverIdOf(values["server-id"], values.workers, values.workers);
}

const objectName = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const objectNameMaxLength = 253;

/** What kube-apiserver would refuse, each time anew. */
function validateLease(values: ServerFlagValues): void {
  const name = leaseName(lastServerId(values));
  if (name.length > objectNameMaxLength || !objectName.test(name)) {
    throw new UsageError(
      `--server-id: with --enable-lease-controller it ends the name of a lease, ${name}, which must be lower-case letters, ` +
        `digits, '-' and '.', at most ${objectNameMaxLength} characters`,
    );
  }
  if (values["lease-namespace"] === "") throw new UsageError("--lease-namespace must not be empty");
  try {
    parseLabelSelector(selectorOf(parseLabels(values["lease-label"])));
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--lease-label: ${error.message}`);
    throw error;
  }
}

function securityNotices(values: ServerFlagValues): readonly string[] {
  const notices: string[] = [];
  const version = values["tls-min-version"];
  if (version === "VersionTLS10" || version === "VersionTLS11") {
    notices.push(`--tls-min-version=${version} lets peers use a TLS version below 1.2, which is insecure (RFC 8996)`);
  }
  if (!checksAgents(values)) {
    notices.push("--allow-unauthenticated-agents: any process that reaches the agent port can act as an agent");
  }
  notices.push(...identityNotices(values));
  return notices;
}

function toOptions(values: ServerFlagValues, env: NodeJS.ProcessEnv, notices: readonly string[]): ServerOptions {
  const agentTokens = readAgentTokens(values);
  const tls = { minVersion: minTlsVersion(values["tls-min-version"]), cipherSuites: values["cipher-suites"] };
  const listen = (name: "server" | "agent" | "health" | "admin") => ({
    host: bareHost(values[`${name}-bind-address`]),
    port: values[`${name}-port`],
  });
  const frontendListen: FrontendListen =
    values["uds-name"] === ""
      ? {
          kind: "tcp",
          ...listen("server"),
          keyPair: { certFile: values["server-cert"], keyFile: values["server-key"] },
          caFile: values["server-ca-cert"],
          clientNames: values["frontend-client-names"],
          tls,
        }
      : { kind: "uds", path: values["uds-name"], deleteExisting: values["delete-existing-uds-file"] };
  return {
    serverId: values["server-id"],
    serverCount: values["server-count"],
    workers: values.workers,
    frontends: [{ mode: readMode(values.mode), listen: frontendListen }],
    agentListener: {
      ...listen("agent"),
      keyPair: { certFile: values["cluster-cert"], keyFile: values["cluster-key"] },
      caFile: values["cluster-ca-cert"] === "" ? undefined : values["cluster-ca-cert"],
      tls,
    },
    agentTokens,
    agentIdentifierPolicy: readIdentifierPolicy(values["agent-identifier-policy"]),
    kubernetes:
      agentTokens === undefined && !values["enable-lease-controller"] ? undefined : kubernetesOptions(values, env),
    health: listen("health"),
    admin: listen("admin"),
    profiling: values["enable-profiling"],
    strategies: readStrategies(values["proxy-strategies"]),
    keepaliveMs: keepaliveMs(values["keepalive-time"]),
    frontendKeepaliveMs: keepaliveMs(values["frontend-keepalive-time"]),
    dialTimeoutMs: toTimerMs(values["backend-dial-timeout"]) || clientDialTimeoutMs,
    halfCloseTimeoutMs: toTimerMs(values["half-close-timeout"]),
    gracefulShutdownTimeoutMs: toTimerMs(values["graceful-shutdown-timeout"]),
    limits: readLimits(values),
    leases: values["enable-lease-controller"]
      ? {
          serverId: values["server-id"],
          namespace: values["lease-namespace"],
          labels: parseLabels(values["lease-label"]),
        }
      : undefined,
    log: readLogOptions(values),
    notices,
    flagValues: flagValuesOf(serverFlags, values, answerFlags),
  };
}

/** One of the three flags switches it on, and the rules of the contract see to it that all three are there then. */
function readAgentTokens(values: ServerFlagValues): ExpectedAccount | undefined {
  if (values["agent-namespace"] === "") return undefined;
  return {
    namespace: values["agent-namespace"],
    serviceAccount: values["agent-service-account"],
    audience: values["authentication-audience"],
  };
}

function kubernetesOptions(values: ServerFlagValues, env: NodeJS.ProcessEnv): KubernetesOptions {
  const qps = values["kubeconfig-qps"] || unsetQps;
  return {
    kubeconfig: values.kubeconfig,
    service: { host: env.KUBERNETES_SERVICE_HOST ?? "", port: env.KUBERNETES_SERVICE_PORT ?? "" },
    proxies: readProxyEnvironment(env),
    qps,
    burst: values["kubeconfig-burst"] || Math.max(1, Math.ceil(2 * qps)),
  };
}

function keepaliveMs(nanoseconds: bigint): number {
  return nanoseconds <= 0n ? unsetKeepaliveMs : Math.max(toTimerMs(nanoseconds), minKeepaliveMs);
}

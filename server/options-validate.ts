import { UsageError } from "../shared/errors.ts";
import { parseLabels } from "../shared/kubernetes/lease.ts";
import { requireChannelSize, requireProfilingPair } from "../shared/options/checks.ts";
import { requireFile, requireKeyPair, requireKubeconfig } from "../shared/options/file-checks.ts";
import type { FlagValues } from "../shared/options/flag.ts";
import { formatGoDuration } from "../shared/options/go-duration.ts";
import { goQuote, ValueError } from "../shared/options/value-error.ts";
import { minTlsVersion, openSslCiphers } from "../shared/tls/policy.ts";
import type { serverFlags } from "./options-flags.ts";
import type { StrategyName } from "./routing/strategies.ts";

export type ServerFlagValues = FlagValues<typeof serverFlags>;

const modes = ["grpc", "http-connect", "auto"] as const;
export type FrontendMode = (typeof modes)[number];

const strategyNames: readonly StrategyName[] = ["default", "destHost", "defaultRoute"];
const lowestFreePort = 1024;
const highestFreePort = 49151;

/**
 * The reference's rules in the reference's order: the first that fails is the one reported.
 * Throws UsageError without the prefix. Source: the reference.
 */
export function validateServerFlags(values: ServerFlagValues): void {
  requireKeyPair("server", { certFile: values["server-cert"], keyFile: values["server-key"] });
  requireFile("server CA cert", values["server-ca-cert"]);
  requireKeyPair("cluster", { certFile: values["cluster-cert"], keyFile: values["cluster-key"] });
  requireFile("cluster CA cert", values["cluster-ca-cert"]);
  readMode(values.mode);
  validateFrontend(values);
  validatePorts(values);
  requireProfilingPair(values["enable-contention-profiling"], values["enable-profiling"]);
  validateTokenAuthentication(values);
  requireKubeconfig(values.kubeconfig);
  readStrategies(values["proxy-strategies"]);
  requireChannelSize(values["xfr-channel-size"]);
  minTlsVersion(values["tls-min-version"]);
  openSslCiphers(values["cipher-suites"]);
  if (values["enable-lease-controller"]) validateLeaseLabel(values["lease-label"]);
  for (const name of ["graceful-shutdown-timeout", "backend-dial-timeout"] as const) {
    if (values[name] < 0n) throw new UsageError(`${name} must be >= 0, got ${formatGoDuration(values[name])}`);
  }
}

/** Throws UsageError for an unknown mode. */
export function readMode(text: string): FrontendMode {
  const mode = modes.find((name) => name === text);
  if (mode === undefined) {
    throw new UsageError(`mode must be set to either 'grpc', 'http-connect' or 'auto' not ${goQuote(text)}`);
  }
  return mode;
}

/** Empty items are skipped, duplicates kept. Throws UsageError for an unknown one and for none. */
export function readStrategies(text: string): readonly StrategyName[] {
  if (text === "") throw new UsageError("ProxyStrategies cannot be empty");
  const strategies = text
    .split(",")
    .filter((item) => item !== "")
    .map((item) => {
      const strategy = strategyNames.find((name) => name === item);
      if (strategy === undefined) {
        throw new UsageError(`invalid proxy strategies: unknown proxy strategy: ${item}`);
      }
      return strategy;
    });
  if (strategies.length === 0) {
    throw new UsageError("invalid proxy strategies: proxy strategies cannot be empty");
  }
  return strategies;
}

function validateFrontend(values: ServerFlagValues): void {
  if (values["uds-name"] === "") {
    if (values["server-ca-cert"] === "") {
      throw new UsageError("server ca cert must be set when in TCP mode (uds-name is empty)");
    }
    return;
  }
  if (values["server-port"] !== 0) {
    throw new UsageError(`server port should be set to 0 not ${values["server-port"]} for UDS`);
  }
  for (const name of ["server-key", "server-cert", "server-ca-cert"] as const) {
    if (values[name] !== "") throw new UsageError(`${name.replaceAll("-", " ")} should not be set for UDS`);
  }
}

/** All ports against the upper limit first, then all against the lower one. */
function validatePorts(values: ServerFlagValues): void {
  const listeners = ["server", "agent", "admin", "health"] as const;
  for (const listener of listeners) {
    const port = values[`${listener}-port`];
    if (port > highestFreePort) {
      throw new UsageError(`please do not try to use ephemeral port ${port} for the ${listener} port`);
    }
  }
  for (const listener of listeners) {
    const port = values[`${listener}-port`];
    if (port < lowestFreePort && !(listener === "server" && values["uds-name"] !== "")) {
      throw new UsageError(`please do not try to use reserved port ${port} for the ${listener} port`);
    }
  }
}

function validateTokenAuthentication(values: ServerFlagValues): void {
  const names = ["agent-namespace", "agent-service-account", "authentication-audience"] as const;
  if (names.every((name) => values[name] === "")) return;
  if (values["cluster-ca-cert"] !== "") {
    throw new UsageError("--cluster-ca-cert can not be used when agent authentication is enabled");
  }
  for (const name of names) {
    if (values[name] === "") throw new UsageError(`--${name} cannot be empty when agent authentication is enabled`);
  }
}

function validateLeaseLabel(text: string): void {
  try {
    parseLabels(text);
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(error.message);
    throw error;
  }
}

import { UsageError } from "../shared/errors.ts";
import { requireChannelSize, requireProfilingPair } from "../shared/options/checks.ts";
import { requireFile, requireKeyPair, requireKubeconfig } from "../shared/options/file-checks.ts";
import type { FlagValues } from "../shared/options/flag.ts";
import { formatGoDuration } from "../shared/options/go-duration.ts";
import { parseGoQuery } from "../shared/options/go-query.ts";
import { ValueError } from "../shared/options/value-error.ts";
import type { agentFlags } from "./options-flags.ts";

export type AgentFlagValues = FlagValues<typeof agentFlags>;

const identifierKeys: ReadonlySet<string> = new Set(["ipv4", "ipv6", "host", "cidr", "default-route"]);
const serverCountSources: ReadonlySet<string> = new Set(["", "default", "max"]);

/**
 * The reference's rules in the reference's order: the first that fails is the one reported.
 * Throws UsageError without the prefix. Source: the reference.
 */
export function validateAgentFlags(values: AgentFlagValues): void {
  requireKeyPair("agent", { certFile: values["agent-cert"], keyFile: values["agent-key"] });
  requireFile("agent CA cert", values["ca-cert"]);
  for (const name of ["proxy-server-port", "health-server-port", "admin-server-port"] as const) {
    if (values[name] <= 0) {
      throw new UsageError(`${name.replaceAll("-", " ")} ${values[name]} must be greater than 0`);
    }
  }
  requireChannelSize(values["xfr-channel-size"]);
  requireProfilingPair(values["enable-contention-profiling"], values["enable-profiling"]);
  if (values["sync-interval"] > values["sync-interval-cap"]) {
    const [interval, cap] = [values["sync-interval"], values["sync-interval-cap"]].map(formatGoDuration);
    throw new UsageError(`sync interval ${interval} must be less than sync interval cap ${cap}`);
  }
  requireFile("service account token path", values["service-account-token-path"]);
  validateIdentifiers(values["agent-identifiers"]);
  requireKubeconfig(values.kubeconfig);
  if (!serverCountSources.has(values["server-count-source"])) {
    throw new UsageError(
      `--server-count-source must be one of '', 'default', 'max', got ${values["server-count-source"]}`,
    );
  }
}

function validateIdentifiers(text: string): void {
  try {
    for (const [key] of parseGoQuery(text)) {
      if (!identifierKeys.has(key)) throw new ValueError(`unknown address type: ${key}`);
    }
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`agent address is invalid: ${error.message}`);
    throw error;
  }
}

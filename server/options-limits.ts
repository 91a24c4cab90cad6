import { requireLimit, requireNotNegative } from "../shared/options/checks.ts";
import { heldBytesOf } from "../shared/options/common-flags.ts";
import { toTimerMs } from "../shared/options/go-duration.ts";
import type { ServerFlagValues } from "./options-validate.ts";

/** How much of everything there may be; docs/limits.md says what happens past each. */
export interface ServerLimits {
  /** Clients of a frontend, and connections of them all together. */
  readonly frontendConnectionsMax: number;
  /** Dials that no agent has answered. */
  readonly pendingDialsMax: number;
  readonly agentLinksMax: number;
  /** Dials and connections of one link. */
  readonly agentConnectionsMax: number;
  readonly heldBytesMax: number;
  /** How long a connection may be without a byte, and how old it may get; 0 is no limit. */
  readonly connectionIdleMs: number;
  readonly connectionLifetimeMs: number;
}

/** Throws UsageError for one that is no limit. */
export function validateLimits(values: ServerFlagValues): void {
  const counts = ["max-frontend-connections", "max-pending-dials", "max-agent-links", "max-agent-connections"] as const;
  for (const name of [...counts, "max-held-mib"] as const) requireLimit(name, values[name]);
  for (const name of ["connection-idle-timeout", "connection-max-lifetime"] as const) {
    requireNotNegative(name, values[name]);
  }
}

export function readLimits(values: ServerFlagValues): ServerLimits {
  return {
    frontendConnectionsMax: values["max-frontend-connections"],
    pendingDialsMax: values["max-pending-dials"],
    agentLinksMax: values["max-agent-links"],
    agentConnectionsMax: values["max-agent-connections"],
    heldBytesMax: heldBytesOf(values),
    connectionIdleMs: toTimerMs(values["connection-idle-timeout"]),
    connectionLifetimeMs: toTimerMs(values["connection-max-lifetime"]),
  };
}

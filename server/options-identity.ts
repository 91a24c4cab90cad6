import { UsageError } from "../shared/errors.ts";
import { goQuote } from "../shared/options/value-error.ts";
import { type IdentifierPolicy, identifierPolicies } from "./authentication/identifier-policy.ts";
import type { ServerFlagValues } from "./options-validate.ts";

/** Throws UsageError for an unknown policy. */
export function readIdentifierPolicy(text: string): IdentifierPolicy {
  const policy = identifierPolicies.find((name) => name === text);
  if (policy === undefined) {
    throw new UsageError(`--agent-identifier-policy must be any or own-node, got ${goQuote(text)}`);
  }
  return policy;
}

/** `checksAgents`: whether agents prove by certificate or token who they are. Throws UsageError. */
export function validateIdentityFlags(values: ServerFlagValues, checksAgents: boolean): void {
  const ownNode = readIdentifierPolicy(values["agent-identifier-policy"]) === "own-node";
  if (ownNode && !checksAgents) {
    throw new UsageError(
      "--agent-identifier-policy=own-node needs agents that prove who they are, which --allow-unauthenticated-agents does not " +
        "ask for: give --cluster-ca-cert, or --agent-namespace, --agent-service-account and --authentication-audience",
    );
  }
  if (ownNode && values["proxy-strategies"].split(",").includes("defaultRoute")) {
    throw new UsageError(
      "--agent-identifier-policy=own-node refuses every agent that claims the default route, so that defaultRoute in " +
        "--proxy-strategies would never find one; leave one of the two out",
    );
  }
  validateClientNames(values);
}

function validateClientNames(values: ServerFlagValues): void {
  const names = values["frontend-client-names"];
  if (names.length > 0 && values["uds-name"] !== "") {
    throw new UsageError(
      "--frontend-client-names cannot be used with --uds-name: clients of a socket show no certificate; the file's mode " +
        "says who may use it",
    );
  }
  const bad = names.find((name) => name === "" || name !== name.trim());
  if (bad !== undefined) {
    throw new UsageError(
      `--frontend-client-names holds ${goQuote(bad)}, which no certificate has as a name; give names with commas between and no spaces`,
    );
  }
}

/** What to warn of at start. */
export function identityNotices(values: ServerFlagValues): readonly string[] {
  if (values["agent-identifier-policy"] !== "any") return [];
  return [
    "--agent-identifier-policy=any: an agent may claim any host as its identifier, and is then asked for the connections to " +
      "it where --proxy-strategies has destHost; own-node holds agents to what their certificates or tokens prove",
  ];
}

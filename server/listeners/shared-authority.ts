import { loadCaBundle } from "../../shared/tls/credentials.ts";

/**
 * What to warn of if one authority signs for both listeners; undefined if none does. Certificates are compared, not files.
 * Throws a UsageError for a bundle that does not load.
 */
export function sharedAuthorityWarning(files: {
  readonly frontendCa: string;
  readonly agentCa: string;
}): string | undefined {
  const ofAgents = new Set(loadCaBundle(files.agentCa).certificates.map(({ fingerprint256 }) => fingerprint256));
  const shared = loadCaBundle(files.frontendCa).certificates.find(({ fingerprint256 }) => ofAgents.has(fingerprint256));
  if (shared === undefined) return undefined;
  return (
    `--server-ca-cert and --cluster-ca-cert both have the authority ${shared.subject}: every agent's certificate opens the ` +
    "frontend too, and with it all that the agents can reach; give each its own authority, as hawser certs does, or say with " +
    "--frontend-client-names who may use the frontend"
  );
}

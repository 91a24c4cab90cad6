import type { PeerIdentity } from "../../shared/tls/identity.ts";
import { canonicalHost } from "../routing/destination.ts";

/** All names that a certificate gives its holder: common name, DNS names, IP addresses, URIs. */
export function namesOf({ commonName, dnsNames, ipAddresses, uris }: PeerIdentity): readonly string[] {
  return [...(commonName === "" ? [] : [commonName]), ...dnsNames, ...ipAddresses, ...uris];
}

/**
 * Whether a holder of these names is among `allowed`; an empty list allows everybody. Case does not count in DNS names, nor
 * does the spelling of an IP address; common names and URIs are compared as they are.
 */
export function isAllowed(identity: PeerIdentity | undefined, allowed: readonly string[]): boolean {
  if (allowed.length === 0) return true;
  if (identity === undefined) return false;
  const { commonName, dnsNames, ipAddresses, uris } = identity;
  const hosts = [...dnsNames, ...ipAddresses].map(canonicalHost);
  return allowed.some((name) => name === commonName || uris.includes(name) || hosts.includes(canonicalHost(name)));
}

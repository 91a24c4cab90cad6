import { isIPv6, SocketAddress } from "node:net";

/**
 * The host of a dial address, in the form under which identifiers are compared: without port and brackets, names in lower
 * case, IPv6 addresses in their shortest spelling. Accepts what clients send: `host:port`, `host`, `[v6]:port`, `[v6]`, bare v6.
 */
export function destinationHost(address: string): string {
  return canonicalHost(withoutPort(address));
}

/** One spelling for all that mean the same host. */
export function canonicalHost(host: string): string {
  // A zone says something to its own machine alone; and before one SocketAddress refuses addresses that are 40 characters long or more.
  if (isIPv6(host)) return new SocketAddress({ address: host.replace(/%.*/, ""), family: "ipv6" }).address;
  return host.toLowerCase();
}

function withoutPort(address: string): string {
  const bracket = address.lastIndexOf("]");
  if (address.startsWith("[") && bracket > 0) return address.slice(1, bracket);
  const firstColon = address.indexOf(":");
  if (firstColon < 0 || address.indexOf(":", firstColon + 1) >= 0) return address;
  return address.slice(0, firstColon);
}

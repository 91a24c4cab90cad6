import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { ipBytes } from "../ip-bytes.ts";

/** An address as it was given: a name, or an IP address without brackets. */
export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

/** Whether one entry of NO_PROXY is about this target. `ip` is its address as `canonicalIp` gives it, if it is one. */
type Rule = (target: { readonly host: string; readonly port: string; readonly ip: Buffer | undefined }) => boolean;

/**
 * Whether a target is reached without the proxy: those that the list names, `localhost`, and loopback addresses.
 * `list` is the value of NO_PROXY: `*`, domains with their subdomains, `.domain` or `*.domain` for the subdomains alone,
 * addresses, networks; all but networks with `:port` or without. What makes no sense is ignored, and names are not resolved.
 * Source: Go's golang.org/x/net/http/httpproxy.
 */
export function goesDirectly(list: string, { host, port }: ProxyTarget): boolean {
  if (host === "localhost") return true;
  const address = host.replace(/%.*$/, "");
  const ip = isIP(address) === 0 ? undefined : canonicalIp(address);
  if (ip !== undefined && isLoopback(ip)) return true;
  const target = { host: asciiName(host).toLowerCase().trim(), port: String(port), ip };
  return list.split(",").some((entry) => ruleOf(entry.trim().toLowerCase())(target));
}

const nothing: Rule = () => false;

function ruleOf(entry: string): Rule {
  if (entry === "") return nothing;
  if (entry === "*") return () => true;
  const network = networkOf(entry);
  if (network !== undefined) return ({ ip }) => ip !== undefined && contains(network, ip);
  const [host, port] = splitHostPort(entry);
  const samePort = (actual: string) => port === "" || port === actual;
  if (isIP(host) !== 0 && !host.includes("%")) {
    const wanted = canonicalIp(host);
    return (target) => target.ip?.equals(wanted) === true && samePort(target.port);
  }
  if (host === "") return nothing;
  const domain = asciiName(host.startsWith("*.") ? host.slice(1) : host);
  const isName = (actual: string) =>
    domain.startsWith(".") ? actual.endsWith(domain) : actual === domain || actual.endsWith(`.${domain}`);
  return (target) => target.ip === undefined && isName(target.host) && samePort(target.port);
}

interface Network {
  readonly bytes: Buffer;
  readonly bits: number;
}

function networkOf(entry: string): Network | undefined {
  const [, address = "", bitsText = ""] = /^([^/%]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (isIP(address) === 0) return undefined;
  const bytes = ipBytes(address);
  const bits = Number(bitsText);
  if (bits > bytes.length * 8) return undefined;
  // An IPv4 network in IPv6's spelling is one of IPv4, if its prefix covers what says so.
  const mapped = canonicalIp(address);
  return bytes.length > mapped.length && bits >= mappedPrefix.length * 8
    ? { bytes: mapped, bits: bits - mappedPrefix.length * 8 }
    : { bytes, bits };
}

function contains({ bytes, bits }: Network, ip: Buffer): boolean {
  if (bytes.length !== ip.length) return false;
  return bytes.every((byte, index) => {
    const covered = Math.min(Math.max(bits - index * 8, 0), 8);
    return (byte ^ (ip[index] ?? 0)) >> (8 - covered) === 0;
  });
}

const mappedPrefix = ipBytes("::ffff:0.0.0.0").subarray(0, 12);

/** 4 bytes for IPv4, also where it is written as `::ffff:1.2.3.4`; else 16. */
function canonicalIp(address: string): Buffer {
  const bytes = ipBytes(address);
  return bytes.length === 16 && bytes.subarray(0, 12).equals(mappedPrefix) ? bytes.subarray(12) : bytes;
}

const isLoopback = (ip: Buffer): boolean => (ip.length === 4 ? ip[0] === 127 : ip.equals(ipBytes("::1")));

/** Takes `host:port` and `[v6]:port` apart; the port is empty where there is none. */
function splitHostPort(text: string): readonly [string, string] {
  const [, v6, name, port] = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:[\]]*)$/.exec(text) ?? [];
  return port === undefined ? [text, ""] : [v6 ?? name ?? "", port];
}

/** An international name in its ASCII form; as it is, if it has none. */
function asciiName(name: string): string {
  if (/^\p{ASCII}*$/u.test(name)) return name;
  const dot = name.startsWith(".") ? "." : "";
  const ascii = domainToASCII(name.slice(dot.length));
  return ascii === "" ? name : dot + ascii;
}

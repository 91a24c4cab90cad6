import type { X509Certificate } from "node:crypto";
import { SocketAddress } from "node:net";
import type { TLSSocket } from "node:tls";

/** Who a peer is by its verified certificate. Names are as the certificate has them, not yet checked for anything. */
export interface PeerIdentity {
  /** The last one of the subject, as Go takes it; empty if there is none. */
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  /** In their canonical text form. */
  readonly ipAddresses: readonly string[];
  readonly uris: readonly string[];
  readonly fingerprint256: string;
}

/** The identity of the other end, or undefined if it has shown no certificate or one that was not verified. */
export function peerIdentity(socket: TLSSocket): PeerIdentity | undefined {
  if (!socket.authorized) return undefined;
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? undefined : certificateIdentity(certificate);
}

/** Reads the names out of a certificate. Whoever trusts them must have verified it. */
export function certificateIdentity(certificate: X509Certificate): PeerIdentity {
  const names = altNames(certificate.subjectAltName ?? "");
  const valuesOf = (kind: string): string[] => names.filter((name) => name.kind === kind).map((name) => name.value);
  const { CN } = certificate.toLegacyObject().subject as { readonly CN?: string | readonly string[] };
  return {
    commonName: (typeof CN === "string" ? CN : CN?.at(-1)) ?? "",
    dnsNames: valuesOf("DNS"),
    ipAddresses: valuesOf("IP Address").map(canonicalIp),
    uris: valuesOf("URI"),
    fingerprint256: certificate.fingerprint256,
  };
}

/**
 * Takes Node's text of the extension apart: `DNS:a, IP Address:0:0:0:0:0:0:0:1, URI:"x, y"`. Node writes a value that
 * holds anything ambiguous as a JSON string, so a comma within quotes never separates.
 * Source: Node's documentation of `x509.subjectAltName`.
 */
function altNames(text: string): { readonly kind: string; readonly value: string }[] {
  const entry = /([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy;
  return [...text.matchAll(entry)].map(([, kind = "", value = ""]) => ({
    kind,
    value: value.startsWith('"') ? (JSON.parse(value) as string) : value,
  }));
}

function canonicalIp(address: string): string {
  return address.includes(":") ? new SocketAddress({ address, family: "ipv6" }).address : address;
}

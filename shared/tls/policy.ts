import type { SecureVersion } from "node:tls";
import { UsageError } from "../errors.ts";

/**
 * The suites that Go counts as secure, by their IANA names as `--cipher-suites` takes them, and OpenSSL's names for them.
 * Source: the reference.
 */
const openSslNames = {
  TLS_AES_128_GCM_SHA256: "TLS_AES_128_GCM_SHA256",
  TLS_AES_256_GCM_SHA384: "TLS_AES_256_GCM_SHA384",
  TLS_CHACHA20_POLY1305_SHA256: "TLS_CHACHA20_POLY1305_SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
} as const satisfies Record<string, string>;

export type GoCipherName = keyof typeof openSslNames;

/** Every name that `--cipher-suites` accepts. */
export const goCipherNames = Object.keys(openSslNames) as readonly GoCipherName[];

/** What an empty list stands for: the secure suites without those that HTTP/2 forbids (RFC 9113, appendix A). */
const http2CipherNames: readonly GoCipherName[] = goCipherNames.filter((name) => !name.endsWith("_CBC_SHA"));

const isGoCipherName = (name: string): name is GoCipherName => Object.hasOwn(openSslNames, name);

/**
 * The `ciphers` option of `node:tls` for a list of Go's names; an empty list gives the default set.
 * Go ignores which TLS 1.3 suites are listed and always offers all of them. Here a list that names some of them offers
 * only those, since whoever lists them means it; a list without any offers all, as in Go.
 * Throws a UsageError with the reference's text for a name that is not in `goCipherNames`.
 */
export function openSslCiphers(goNames: readonly string[]): string {
  const names = goNames.length === 0 ? http2CipherNames : goNames;
  return names
    .map((name) => {
      if (isGoCipherName(name)) return openSslNames[name];
      throw new UsageError(`cipher suite ${name} not supported, doesn't exist or considered as insecure`);
    })
    .join(":");
}

const tlsVersions = {
  VersionTLS10: "TLSv1",
  VersionTLS11: "TLSv1.1",
  VersionTLS12: "TLSv1.2",
  VersionTLS13: "TLSv1.3",
} as const satisfies Record<string, SecureVersion>;

/**
 * The `minVersion` option of `node:tls` for a value of `--tls-min-version`; empty means 1.2.
 * Throws a UsageError with the reference's text. Source: the reference.
 */
export function minTlsVersion(goName: string): SecureVersion {
  if (goName === "") return "TLSv1.2";
  const version = Object.entries(tlsVersions).find(([name]) => name === goName)?.[1];
  if (version !== undefined) return version;
  const supported = Object.keys(tlsVersions).join(", ");
  throw new UsageError(`unsupported TLS version "${goName}", supported values are: ${supported}`);
}

import { isIP } from "node:net";
import { UsageError } from "../errors.ts";
import { ipBytes } from "../ip-bytes.ts";
import { type Asn1, bitString, boolean, encode, explicit, implicit, octetString, oid, sequence } from "./der.ts";

/** What a certificate may be used for. */
export type Usage = "server" | "client";

/** Object identifiers of the extensions. Source: RFC 5280 4.2. */
export const extensionIds = {
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyId: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

const usageIds = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" } as const satisfies Record<Usage, string>;

/** Bits of key usage as they stand in the first byte of the bit string. */
const keyUsageBits = { digitalSignature: 0x80, keyEncipherment: 0x20, keyCertSign: 0x04, crlSign: 0x02 } as const;

function extension(id: string, value: Asn1, critical = false): Asn1 {
  const wrapped = octetString(encode(value));
  return critical ? sequence(oid(id), boolean(true), wrapped) : sequence(oid(id), wrapped);
}

function keyUsage(bits: number): Asn1 {
  const unusedBits = 31 - Math.clz32(bits & -bits);
  return extension(extensionIds.keyUsage, bitString(Buffer.of(bits), unusedBits), true);
}

function keyIds(subjectKeyId: Buffer, authorityKeyId: Buffer | undefined): Asn1[] {
  const subject = extension(extensionIds.subjectKeyId, octetString(subjectKeyId));
  if (authorityKeyId === undefined) return [subject];
  return [subject, extension(extensionIds.authorityKeyId, sequence(implicit(0, authorityKeyId)))];
}

/** The extensions of a CA that signs end certificates only. */
export function caExtensions(subjectKeyId: Buffer): Asn1[] {
  return [
    extension(extensionIds.basicConstraints, sequence(boolean(true)), true),
    keyUsage(keyUsageBits.keyCertSign | keyUsageBits.crlSign),
    ...keyIds(subjectKeyId, subjectKeyId),
  ];
}

/**
 * The extensions of an end certificate. `names` are DNS names, IP addresses and URIs in any order.
 * Throws a UsageError for one that is none of them.
 */
export function endExtensions(end: {
  readonly usages: readonly Usage[];
  readonly names: readonly string[];
  /** RSA keys may also carry a key exchange. */
  readonly rsa: boolean;
  readonly subjectKeyId: Buffer;
  readonly authorityKeyId: Buffer | undefined;
}): Asn1[] {
  const usageOids = end.usages.map((usage) => oid(usageIds[usage]));
  return [
    extension(extensionIds.basicConstraints, sequence(), true),
    keyUsage(end.rsa ? keyUsageBits.digitalSignature | keyUsageBits.keyEncipherment : keyUsageBits.digitalSignature),
    extension(extensionIds.extendedKeyUsage, sequence(...usageOids)),
    ...keyIds(end.subjectKeyId, end.authorityKeyId),
    ...(end.names.length === 0
      ? []
      : [extension(extensionIds.subjectAltName, sequence(...end.names.map(generalName)))]),
  ];
}

/** Wraps the extensions for their place in the certificate. */
export const extensionList = (extensions: readonly Asn1[]): Asn1 => explicit(3, sequence(...extensions));

const dnsName =
  /^(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/;

/** One alternative name with its tag. Source: RFC 5280 4.2.1.6. */
function generalName(name: string): Asn1 {
  if (isIP(name) !== 0 && !name.includes("%")) return implicit(7, ipBytes(name));
  if (/^[a-z][a-z0-9+.-]*:\/\/[\x21-\x7e]+$/i.test(name)) return implicit(6, Buffer.from(name));
  if (name.length <= 253 && dnsName.test(name)) return implicit(2, Buffer.from(name));
  throw new UsageError(`"${name}" cannot stand in a certificate; give a DNS name, an IP address or a URI`);
}

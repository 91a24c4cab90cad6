import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { UsageError } from "../errors.ts";
import {
  type Asn1,
  bitString,
  contentOf,
  decode,
  encode,
  explicit,
  integer,
  nothing,
  oid,
  oidOf,
  partsOf,
  sequence,
  set,
  time,
  utf8String,
} from "./der.ts";
import { caExtensions, endExtensions, extensionIds, extensionList, type Usage } from "./extensions.ts";
import { toPem } from "./pem.ts";

export type KeyAlgorithm = "ecdsa-p256" | "rsa-2048" | "rsa-3072";

/** A certificate and its key in PEM, the key as PKCS #8. */
export interface IssuedPair {
  readonly cert: string;
  readonly key: string;
}

export interface Issuance {
  /** At most 64 characters. */
  readonly commonName: string;
  /** ECDSA P-256 when left out. */
  readonly algorithm?: KeyAlgorithm;
  readonly validityDays: number;
  /** The time of issue; the certificate is valid from five minutes earlier, so that a clock a little behind accepts it. */
  readonly now?: Date;
}

const backdateMs = 5 * 60_000;
const dayMs = 24 * 3_600_000;

/** Issues a self-signed CA. Throws a UsageError for a name that cannot stand in a certificate. */
export function issueCa(issuance: Issuance): IssuedPair {
  const keys = newKeys(issuance.algorithm);
  const subject = nameOf(issuance.commonName);
  const keyId = keyIdOf(keys.publicKey);
  return issue(keys, {
    subject,
    issuer: subject,
    signingKey: keys.privateKey,
    ...validityOf(issuance),
    extensions: caExtensions(keyId),
  });
}

/**
 * Issues an end certificate that `ca` signs. It ends no later than the CA does.
 * `names` are DNS names, IP addresses and URIs. Throws a UsageError for a name that cannot stand in a certificate,
 * and for a CA whose two parts do not belong together.
 */
export function issueCertificate(
  ca: IssuedPair,
  issuance: Issuance & { readonly usages: readonly Usage[]; readonly names: readonly string[] },
): IssuedPair {
  const authority = new X509Certificate(ca.cert);
  const signingKey = createPrivateKey(ca.key);
  if (!authority.ca) throw new UsageError(`the certificate of ${authority.subject} is not one of a CA`);
  if (!authority.checkPrivateKey(signingKey)) {
    throw new UsageError(`the key does not belong to the CA certificate of ${authority.subject}`);
  }
  const { notBefore, notAfter } = validityOf(issuance);
  const authorityEnd = new Date(authority.validTo);
  const fields = fieldsOf(authority);
  const keys = newKeys(issuance.algorithm);
  return issue(keys, {
    subject: nameOf(issuance.commonName),
    issuer: fields.subject,
    signingKey,
    notBefore,
    notAfter: notAfter < authorityEnd ? notAfter : authorityEnd,
    extensions: endExtensions({
      usages: issuance.usages,
      names: issuance.names,
      rsa: keys.publicKey.asymmetricKeyType === "rsa",
      subjectKeyId: keyIdOf(keys.publicKey),
      authorityKeyId: fields.subjectKeyId,
    }),
  });
}

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

function newKeys(algorithm: KeyAlgorithm = "ecdsa-p256"): Keys {
  switch (algorithm) {
    case "ecdsa-p256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "rsa-2048":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    case "rsa-3072":
      return generateKeyPairSync("rsa", { modulusLength: 3072 });
  }
}

function validityOf({ now = new Date(), validityDays }: Issuance): {
  readonly notBefore: Date;
  readonly notAfter: Date;
} {
  return { notBefore: new Date(now.getTime() - backdateMs), notAfter: new Date(now.getTime() + validityDays * dayMs) };
}

function nameOf(commonName: string): Asn1 {
  if (!/^[^\p{Cc}]{1,64}$/u.test(commonName)) {
    throw new UsageError(`"${commonName}" cannot be a common name; give 1 to 64 characters, no control characters`);
  }
  return sequence(set(sequence(oid("2.5.4.3"), utf8String(commonName))));
}

/** The first 160 bits of SHA-256 over the public key's bits. Source: RFC 7093, method 1. */
function keyIdOf(publicKey: KeyObject): Buffer {
  const [, keyBits] = partsOf(spkiOf(publicKey));
  return createHash("sha256").update(encodedBits(keyBits)).digest().subarray(0, 20);
}

const spkiOf = (publicKey: KeyObject): Asn1 => decode(publicKey.export({ type: "spki", format: "der" }));

/** The encoding of a bit string without its first bytes, tag, length and padding count; node-forge may hold it taken apart. */
function encodedBits(bits: Asn1 | undefined): Buffer {
  if (bits === undefined) throw new TypeError("a public key has no bits");
  const der = encode(bits);
  const lengthByte = der[1] ?? 0;
  return der.subarray(lengthByte < 0x80 ? 3 : 3 + (lengthByte & 0x7f));
}

/** Builds and signs one certificate. Source: RFC 5280 4.1. */
function issue(
  keys: Keys,
  parts: {
    readonly subject: Asn1;
    readonly issuer: Asn1;
    readonly signingKey: KeyObject;
    readonly notBefore: Date;
    readonly notAfter: Date;
    readonly extensions: readonly Asn1[];
  },
): IssuedPair {
  const algorithm = signatureAlgorithm(parts.signingKey);
  const toBeSigned = sequence(
    explicit(0, integer(Buffer.of(2))),
    integer(newSerial()),
    algorithm,
    parts.issuer,
    sequence(time(parts.notBefore), time(parts.notAfter)),
    parts.subject,
    spkiOf(keys.publicKey),
    extensionList(parts.extensions),
  );
  const signature = sign("sha256", encode(toBeSigned), parts.signingKey);
  return {
    cert: toPem("CERTIFICATE", encode(sequence(toBeSigned, algorithm, bitString(signature)))),
    key: keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function signatureAlgorithm(signingKey: KeyObject): Asn1 {
  switch (signingKey.asymmetricKeyType) {
    case "ec":
      return sequence(oid("1.2.840.10045.4.3.2"));
    case "rsa":
      return sequence(oid("1.2.840.113549.1.1.11"), nothing());
    default:
      throw new UsageError(
        `cannot sign with a CA key of type ${signingKey.asymmetricKeyType}; it must be ECDSA or RSA`,
      );
  }
}

/** 128 random bits, of which the first two are fixed to 01: positive and never shorter than 16 bytes. */
function newSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** A CA's name, byte for byte as it stands in its certificate, and its key id if it has one. */
function fieldsOf(certificate: X509Certificate): { readonly subject: Asn1; readonly subjectKeyId: Buffer | undefined } {
  const [toBeSigned] = partsOf(decode(certificate.raw));
  // A CA is of version 3: [0] version, serial, algorithm, issuer, validity, subject, key, optional ids, [3] extensions.
  const fields = partsOf(toBeSigned);
  const subject = fields[5];
  if (subject === undefined) throw new UsageError(`the CA certificate of ${certificate.subject} is not of version 3`);
  const extensions = partsOf(partsOf(fields.at(-1))[0]);
  const keyId = extensions.find((extension) => oidOf(partsOf(extension)[0]) === extensionIds.subjectKeyId);
  const wrapped = partsOf(keyId).at(-1);
  return { subject, subjectKeyId: wrapped === undefined ? undefined : contentOf(decode(contentOf(wrapped))) };
}

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { UsageError } from "../errors.ts";
import { type PemBlock, pemBlocks, toPem } from "./pem.ts";

/** What the log says about one loaded certificate. */
export interface CertificateFacts {
  readonly file: string;
  /** One line, `CN=...`. */
  readonly subject: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly fingerprint256: string;
}

/** A certificate chain with its key, as `node:tls` takes them. */
export interface KeyPair {
  /** PEM of the certificate blocks alone, leaf first. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** One per certificate of the chain, leaf first. */
  readonly certificates: readonly CertificateFacts[];
}

/** The certificates that a peer may be verified against. */
export interface CaBundle {
  /** PEM of the certificate blocks alone. */
  readonly ca: string;
  readonly certificates: readonly CertificateFacts[];
}

/**
 * Reads a certificate chain and its key, and checks that they can serve: both parse, they belong together,
 * the leaf is valid at `now`. Throws a UsageError of one line that names the file and says what to do.
 */
export function loadKeyPair(
  files: { readonly certFile: string; readonly keyFile: string },
  now: Date = new Date(),
): KeyPair {
  const { certFile, keyFile } = files;
  const fail = (reason: string): never => {
    throw new UsageError(`failed to load X509 key pair ${certFile} and ${keyFile}: ${reason}`);
  };
  const blocks = certificateBlocks(readOr(certFile, fail));
  const key = readOr(keyFile, fail);
  const chain = blocks.map((block, index) => parseOr(block, certFile, index, fail));
  const leaf =
    chain[0] ??
    fail(`${certFile} holds no PEM certificate; it must be a file of "BEGIN CERTIFICATE" blocks, leaf first`);
  if (!leaf.checkPrivateKey(privateKeyOr(key, keyFile, fail))) {
    fail(
      `the key in ${keyFile} does not belong to the certificate in ${certFile}; give the two that were issued together`,
    );
  }
  const certificates = chain.map((certificate) => factsOf(certificate, certFile));
  checkValidity(certificates[0], now, fail);
  return { cert: Buffer.from(pemOf(blocks)), key, certificates };
}

/**
 * Reads a CA bundle. Every `CERTIFICATE` block without headers must parse; other blocks, and text that is no block, are
 * skipped; none at all is an error. Expired ones are kept, so that old and new CAs can overlap. Throws a UsageError.
 * Source: the reference.
 */
export function loadCaBundle(file: string): CaBundle {
  const fail = (reason: string): never => {
    throw new UsageError(`failed to load CA cert: ${reason}`);
  };
  const failPool = (reason: string): never => fail(`error creating pool from ${file}: ${reason}`);
  const blocks = certificateBlocks(readOr(file, fail));
  if (blocks.length === 0) {
    failPool('no PEM certificate found; it must be a file of "BEGIN CERTIFICATE" blocks');
  }
  const parsed = blocks.map((block, index) => parseOr(block, file, index, failPool));
  return {
    ca: pemOf(blocks),
    certificates: parsed.map((certificate) => factsOf(certificate, file)),
  };
}

type Fail = (reason: string) => never;

function readOr(file: string, fail: Fail): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    return fail(readFailure(file, error as NodeJS.ErrnoException));
  }
}

/** The Go text of the common cases, because operators search for it, and the remedy. */
function readFailure(file: string, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ENOENT":
      return `open ${file}: no such file or directory; check the path and that the volume is mounted`;
    case "EACCES":
    case "EPERM":
      return `open ${file}: permission denied; let the user of this process read it`;
    case "EISDIR":
      return `read ${file}: is a directory; give the path of a file`;
    default:
      return `open ${file}: ${error.message}`;
  }
}

function certificateBlocks(content: Buffer): PemBlock[] {
  return pemBlocks(content.toString("latin1")).filter((block) => block.label === "CERTIFICATE" && !block.headers);
}

/** Written anew, because Node itself stops reading at the first damaged block. */
const pemOf = (blocks: readonly PemBlock[]): string => blocks.map(({ label, der }) => toPem(label, der)).join("");

function parseOr(block: PemBlock, file: string, index: number, fail: Fail): X509Certificate {
  try {
    return new X509Certificate(block.der);
  } catch (error) {
    return fail(
      `certificate block ${index + 1} of ${file} does not parse (${(error as Error).message}); replace or remove it`,
    );
  }
}

function privateKeyOr(key: Buffer, file: string, fail: Fail): KeyObject {
  try {
    return createPrivateKey(key);
  } catch {
    if (pemBlocks(key.toString("latin1")).some(isEncrypted)) {
      return fail(`the key in ${file} is encrypted; decrypt it, for example with "openssl pkey"`);
    }
    return fail(`${file} holds no PEM private key; it must have a "BEGIN PRIVATE KEY" block or one of its older forms`);
  }
}

const isEncrypted = ({ label, headers }: PemBlock): boolean =>
  label === "ENCRYPTED PRIVATE KEY" || (headers && label.endsWith("PRIVATE KEY"));

function factsOf(certificate: X509Certificate, file: string): CertificateFacts {
  return {
    file,
    subject: certificate.subject.replaceAll("\n", ", "),
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
    fingerprint256: certificate.fingerprint256,
  };
}

function checkValidity(leaf: CertificateFacts | undefined, now: Date, fail: Fail): void {
  if (leaf === undefined) return;
  const { file, notBefore, notAfter } = leaf;
  if (now > notAfter) {
    fail(`the certificate in ${file} expired at ${notAfter.toISOString()}; issue a new one`);
  }
  if (now < notBefore) {
    fail(`the certificate in ${file} is not valid before ${notBefore.toISOString()}; check this machine's clock`);
  }
}

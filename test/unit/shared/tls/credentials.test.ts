import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import { loadCaBundle, loadKeyPair } from "../../../../shared/tls/credentials.ts";
import { issueCa, issueCertificate } from "../../../../shared/tls/issue.ts";
import { toPem } from "../../../../shared/tls/pem.ts";
import { handshake } from "./handshake.ts";

const folder = mkdtempSync(join(tmpdir(), "hawser-credentials-"));
afterAll(() => rmSync(folder, { recursive: true }));

let fileCount = 0;
function file(content: string): string {
  fileCount += 1;
  const path = join(folder, `${fileCount}.pem`);
  writeFileSync(path, content);
  return path;
}

const now = new Date("2026-03-01T00:00:00Z");
const ca = issueCa({ commonName: "test CA", validityDays: 30, now });
const pairAt = (issuedAt: Date) =>
  issueCertificate(ca, { commonName: "s", validityDays: 3, now: issuedAt, usages: ["server"], names: ["localhost"] });
const pair = pairAt(now);
const missing = join(folder, "missing.pem");
const directory = join(folder, "directory");
mkdirSync(directory);

/** The one line of the UsageError that `act` throws. */
function complaint(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    expect(error.message).not.toContain("\n");
    return error.message;
  }
  throw new Error("nothing was thrown");
}

describe("a key pair", () => {
  const load =
    (cert: string, key: string, at = now) =>
    () =>
      loadKeyPair({ certFile: file(cert), keyFile: file(key) }, at);

  it("comes without what stands between its blocks, with the facts of each certificate of the chain", () => {
    const certFile = file(`leaf\n${pair.cert}its CA\n${ca.cert}-----BEGIN CERTIFICATE-----\n`);
    const keyFile = file(pair.key);
    const loaded = loadKeyPair({ certFile, keyFile }, now);
    expect(loaded.cert.toString()).toBe(pair.cert + ca.cert);
    expect(loaded.key.toString()).toBe(pair.key);
    expect(loaded.certificates).toEqual([
      {
        file: certFile,
        subject: "CN=s",
        notBefore: new Date("2026-02-28T23:55:00Z"),
        notAfter: new Date("2026-03-04T00:00:00Z"),
        fingerprint256: new X509Certificate(pair.cert).fingerprint256,
      },
      expect.objectContaining({ subject: "CN=test CA", notAfter: new Date("2026-03-31T00:00:00Z") }),
    ]);
  });

  it("may have its key in an older form", () => {
    const older = createPrivateKey(pair.key).export({ type: "sec1", format: "pem" }).toString();
    expect(older).toContain("BEGIN EC PRIVATE KEY");
    expect(load(pair.cert, older)().key.toString()).toBe(older);
  });

  it.each([
    [
      "a missing certificate",
      () => loadKeyPair({ certFile: missing, keyFile: file(pair.key) }),
      `open ${missing}: no such file`,
    ],
    [
      "a missing key",
      () => loadKeyPair({ certFile: file(pair.cert), keyFile: missing }),
      `open ${missing}: no such file`,
    ],
    ["a directory", () => loadKeyPair({ certFile: directory, keyFile: missing }), `read ${directory}: is a directory`],
    [
      "empty paths",
      () => loadKeyPair({ certFile: "", keyFile: "" }),
      "failed to load X509 key pair  and : open : no such",
    ],
    ["a certificate file without one", load("hello", pair.key), "holds no PEM certificate"],
    ["two keys", load(pair.key, pair.key), "holds no PEM certificate"],
    ["a damaged certificate", load(toPem("CERTIFICATE", Buffer.from("hi")), pair.key), "certificate block 1 of"],
    [
      "a damaged certificate of the chain",
      load(pair.cert + toPem("CERTIFICATE", Buffer.of(48, 0)), pair.key),
      "block 2 of",
    ],
    ["a key file without one", load(pair.cert, pair.cert), "holds no PEM private key"],
    ["another's key", load(pair.cert, pairAt(now).key), "does not belong to the certificate"],
    [
      "a chain that does not begin with the leaf",
      load(ca.cert + pair.cert, pair.key),
      "does not belong to the certificate",
    ],
    ["an encrypted key", load(pair.cert, encrypted()), 'is encrypted; decrypt it, for example with "openssl pkey"'],
    [
      "an expired certificate",
      load(pair.cert, pair.key, new Date("2026-03-04T00:00:01Z")),
      "expired at 2026-03-04T00:00:00.000Z",
    ],
    [
      "one of the future",
      load(pair.cert, pair.key, new Date("2026-02-28T23:54:59Z")),
      "not valid before 2026-02-28T23:55:00.000Z",
    ],
  ])("is refused for %s", (_what, act, text) => {
    const message = complaint(act);
    expect(message).toMatch(/^failed to load X509 key pair /);
    expect(message).toContain(text);
  });
});

function encrypted(): string {
  const options = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
  return createPrivateKey(pair.key).export(options).toString();
}

describe("a CA bundle", () => {
  const other = issueCa({ commonName: "other CA", validityDays: 30, now });
  const truncated = ca.cert.slice(0, 200);
  const badBase64 = "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n";
  const malformed = toPem("CERTIFICATE", Buffer.from("malformed"));
  const withHeaders = malformed.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n");
  const subjects = (content: string): string[] =>
    loadCaBundle(file(content)).certificates.map((certificate) => certificate.subject);

  it.each([
    ["one certificate", ca.cert, ["CN=test CA"]],
    ["two", ca.cert + other.cert, ["CN=test CA", "CN=other CA"]],
    ["Windows line ends", ca.cert.replaceAll("\n", "\r\n"), ["CN=test CA"]],
    ["text around", `# old\n${ca.cert}\n# new\n${other.cert}bye`, ["CN=test CA", "CN=other CA"]],
    ["a private key", ca.key + ca.cert, ["CN=test CA"]],
    ["a truncated block at the end", ca.cert + truncated, ["CN=test CA"]],
    ["a truncated block before a whole one", `${truncated}\n${ca.cert}`, ["CN=test CA"]],
    ["a block of bad base64", badBase64 + ca.cert, ["CN=test CA"]],
    ["a block with headers", withHeaders + ca.cert, ["CN=test CA"]],
    ["an END without BEGIN", `-----END CERTIFICATE-----\n${ca.cert}`, ["CN=test CA"]],
    ["a block that ends as another", `${ca.cert.replace("END CERTIFICATE", "END X")}${other.cert}`, ["CN=other CA"]],
  ])("may hold %s", (_what, content, expected) => {
    expect(subjects(content)).toEqual(expected);
  });

  it.each([
    ["a malformed certificate", malformed + ca.cert, "certificate block 1 of"],
    ["a malformed certificate after a good one", ca.cert + malformed, "certificate block 2 of"],
    ["no certificate", ca.key, "no PEM certificate found"],
    ["nothing", "", "no PEM certificate found"],
  ])("is refused for %s, by the name of its file", (_what, content, text) => {
    const path = file(content);
    const message = complaint(() => loadCaBundle(path));
    expect(message).toMatch(`failed to load CA cert: error creating pool from ${path}: `);
    expect(message).toContain(text);
  });

  it("is refused if it cannot be read, with Go's words", () => {
    expect(complaint(() => loadCaBundle(""))).toMatch(/^failed to load CA cert: open : no such file or directory/);
  });

  it("verifies peers of every CA in it, whatever stands between them", async () => {
    const bundle = loadCaBundle(file(other.cert + badBase64 + withHeaders + validNow.ca.cert));
    const { client } = await handshake({ server: validNow.pair, client: { ca: bundle.ca, servername: "localhost" } });
    expect(client.authorized).toBe(true);
  });
});

const validNow = (() => {
  const authority = issueCa({ commonName: "today's CA", validityDays: 1 });
  const options = { commonName: "s", validityDays: 1, usages: ["server"], names: ["localhost"] } as const;
  return { ca: authority, pair: issueCertificate(authority, options) };
})();

import { describe, expect, it } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import { issueCa, issueCertificate } from "../../../../shared/tls/issue.ts";
import { goCipherNames, minTlsVersion, openSslCiphers } from "../../../../shared/tls/policy.ts";
import { handshake } from "./handshake.ts";

const ca = issueCa({ commonName: "test CA", validityDays: 1 });
const pairOf = (algorithm: "ecdsa-p256" | "rsa-2048") =>
  issueCertificate(ca, { commonName: "s", algorithm, validityDays: 1, usages: ["server"], names: ["localhost"] });
const pairs = { ECDSA: pairOf("ecdsa-p256"), RSA: pairOf("rsa-2048") };

const isTls13 = (name: string): boolean => !name.includes("_WITH_");
const pairFor = (name: string) => (name.includes("_RSA_") ? pairs.RSA : pairs.ECDSA);

/** The suite that a client which takes anything gets from a server with these ciphers. */
async function negotiated(name: string, ciphers: string, maxVersion?: "TLSv1.2") {
  const ends = await handshake({
    server: { ...pairFor(name), ciphers },
    client: { ca: ca.cert, servername: "localhost", ...(maxVersion && { maxVersion }) },
  });
  return ends.client.getCipher();
}

describe("cipher suites", () => {
  it("are the 13 that Go counts as secure", () => {
    const keyed = (kind: string) => [
      `TLS_ECDHE_${kind}_WITH_AES_128_CBC_SHA`,
      `TLS_ECDHE_${kind}_WITH_AES_256_CBC_SHA`,
      `TLS_ECDHE_${kind}_WITH_AES_128_GCM_SHA256`,
      `TLS_ECDHE_${kind}_WITH_AES_256_GCM_SHA384`,
      `TLS_ECDHE_${kind}_WITH_CHACHA20_POLY1305_SHA256`,
    ];
    const tls13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    expect([...goCipherNames].sort()).toEqual([...tls13, ...keyed("ECDSA"), ...keyed("RSA")].sort());
  });

  it.each(goCipherNames)("%s alone is what a server with it negotiates", async (name) => {
    const cipher = await negotiated(name, openSslCiphers([name]), isTls13(name) ? undefined : "TLSv1.2");
    expect(cipher.standardName).toBe(name);
  });

  it("of TLS 1.2 alone leave TLS 1.3 on, as in Go", async () => {
    const cipher = await negotiated("", openSslCiphers(["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]));
    expect(cipher.version).toBe("TLSv1.3");
  });

  it("are by default all that HTTP/2 allows", () => {
    const allowed = goCipherNames.filter((name) => !name.includes("_CBC_"));
    expect(openSslCiphers([])).toBe(openSslCiphers(allowed));
  });

  it("refuse any other name with the reference's words", () => {
    expect(() => openSslCiphers(["TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_SHA"])).toThrow(
      new UsageError("cipher suite TLS_RSA_WITH_RC4_128_SHA not supported, doesn't exist or considered as insecure"),
    );
    expect(() => openSslCiphers(["toString"])).toThrow(UsageError);
  });
});

describe("the lowest TLS version", () => {
  it.each([
    ["", "TLSv1.2"],
    ["VersionTLS10", "TLSv1"],
    ["VersionTLS11", "TLSv1.1"],
    ["VersionTLS12", "TLSv1.2"],
    ["VersionTLS13", "TLSv1.3"],
  ])("%j is %s", (name, version) => {
    expect(minTlsVersion(name)).toBe(version);
  });

  it("is refused by any other name", () => {
    expect(() => minTlsVersion("TLSv1.2")).toThrow(
      new UsageError(
        'unsupported TLS version "TLSv1.2", supported values are: VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13',
      ),
    );
  });
});

import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import { type IssuedPair, issueCa, issueCertificate, type KeyAlgorithm } from "../../../../shared/tls/issue.ts";
import { handshake } from "./handshake.ts";

const algorithms: readonly KeyAlgorithm[] = ["ecdsa-p256", "rsa-2048"];
const now = new Date("2026-03-01T12:00:00.500Z");
const dayMs = 24 * 3_600_000;
const names = ["localhost", "*.example.test", "127.0.0.1", "::1", "2001:db8::5:0:7", "spiffe://example.test/agent"];

const newCa = (algorithm: KeyAlgorithm = "ecdsa-p256", commonName = "test CA") =>
  issueCa({ commonName, algorithm, validityDays: 3650 });
const newServer = (ca: IssuedPair, algorithm: KeyAlgorithm = "ecdsa-p256") =>
  issueCertificate(ca, { commonName: "server", algorithm, validityDays: 30, usages: ["server"], names: ["localhost"] });
const newClient = (ca: IssuedPair, algorithm: KeyAlgorithm = "ecdsa-p256") =>
  issueCertificate(ca, { commonName: "client", algorithm, validityDays: 30, usages: ["client"], names: [] });

describe.each(algorithms)("certificates with %s", (algorithm) => {
  const ca = newCa(algorithm);

  it("are accepted by both ends of a mutual TLS handshake", async () => {
    const { server, client } = await handshake({
      server: { ...newServer(ca, algorithm), ca: ca.cert, requestCert: true, rejectUnauthorized: true },
      client: { ...newClient(ca, algorithm), ca: ca.cert, servername: "localhost" },
    });
    expect([server.authorized, client.authorized]).toEqual([true, true]);
  });

  it("carry a signature of the CA, and a CA one of its own", () => {
    const authority = new X509Certificate(ca.cert);
    expect(authority.verify(authority.publicKey)).toBe(true);
    const leaf = new X509Certificate(newServer(ca, algorithm).cert);
    expect([leaf.verify(authority.publicKey), leaf.checkIssued(authority)]).toEqual([true, true]);
    const stranger = new X509Certificate(newCa(algorithm).cert);
    expect(leaf.verify(stranger.publicKey)).toBe(false);
  });

  it.skipIf(spawnSync("openssl", ["version"]).status !== 0)("pass openssl verify with strict checks", () => {
    const folder = mkdtempSync(join(tmpdir(), "hawser-issue-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = (name: string, content: string): string => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const caFile = file("ca.crt", ca.cert);
    for (const [purpose, pair] of [
      ["sslserver", newServer(ca, algorithm)],
      ["sslclient", newClient(ca, algorithm)],
    ] as const) {
      const leafFile = file(`${purpose}.crt`, pair.cert);
      const output = execFileSync("openssl", [
        "verify",
        "-x509_strict",
        "-purpose",
        purpose,
        "-CAfile",
        caFile,
        leafFile,
      ]);
      expect(output.toString()).toBe(`${leafFile}: OK\n`);
    }
  });
});

describe("a CA", () => {
  it("may be of another key type than what it signs", async () => {
    const ca = newCa("rsa-2048");
    const { client } = await handshake({ server: newServer(ca), client: { ca: ca.cert, servername: "localhost" } });
    expect(client.authorized).toBe(true);
  });

  it("is found by its key id among CAs of the same name", async () => {
    const [old, current] = [newCa(), newCa()];
    const { client } = await handshake({
      server: newServer(current),
      client: { ca: old.cert + current.cert, servername: "localhost" },
    });
    expect(client.authorized).toBe(true);
  });

  it("is refused as an issuer if it is none, or if its key is another's", () => {
    const ca = newCa();
    expect(() => newServer(newServer(ca))).toThrow(UsageError);
    expect(() => newServer({ cert: ca.cert, key: newCa().key })).toThrow(UsageError);
  });

  it("does not let an end certificate outlive it", () => {
    const ca = issueCa({ commonName: "short", validityDays: 10, now });
    const leaf = issueCertificate(ca, { commonName: "x", validityDays: 99, now, usages: ["client"], names: [] });
    expect(new X509Certificate(leaf.cert).validTo).toBe(new X509Certificate(ca.cert).validTo);
  });
});

describe("an end certificate", () => {
  const ca = newCa();

  it("may have a key of 3072 bits", () => {
    const leaf = issueCertificate(ca, {
      commonName: "x",
      algorithm: "rsa-3072",
      validityDays: 1,
      usages: ["client"],
      names,
    });
    expect(new X509Certificate(leaf.cert).publicKey.asymmetricKeyDetails?.modulusLength).toBe(3072);
  });

  it("holds its names, whatever their kind", () => {
    const leaf = issueCertificate(ca, { commonName: "x", validityDays: 1, usages: ["server"], names });
    expect(new X509Certificate(leaf.cert).subjectAltName).toBe(
      "DNS:localhost, DNS:*.example.test, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, " +
        "IP Address:2001:DB8:0:0:0:5:0:7, URI:spiffe://example.test/agent",
    );
  });

  it.each(["", "a b", "a,DNS:b", "-x", "fe80::1%eth0", "https://a b", "x".repeat(254)])(
    "refuses the name %j",
    (name) => {
      const options = { commonName: "x", validityDays: 1, usages: ["server"], names: [name] } as const;
      expect(() => issueCertificate(ca, options)).toThrow(UsageError);
    },
  );

  it.each(["", "x".repeat(65), "a\nb"])("refuses the common name %j", (commonName) => {
    expect(() => issueCa({ commonName, validityDays: 1 })).toThrow(UsageError);
  });

  it("is valid from five minutes before its issue, for the days asked", () => {
    const leaf = issueCertificate(ca, { commonName: "x", validityDays: 7, now, usages: ["client"], names: [] });
    const { validFrom, validTo } = new X509Certificate(leaf.cert);
    const wholeSeconds = now.getTime() - 500;
    expect(Date.parse(validFrom)).toBe(wholeSeconds - 5 * 60_000);
    expect(Date.parse(validTo)).toBe(wholeSeconds + 7 * dayMs);
  });

  it("may end after 2049", () => {
    const { cert } = issueCa({ commonName: "long", validityDays: 36_500, now });
    expect(Date.parse(new X509Certificate(cert).validTo)).toBe(now.getTime() - 500 + 36_500 * dayMs);
  });

  it("has a serial of 128 bits that no other has", () => {
    const serials = Array.from({ length: 20 }, () => new X509Certificate(newClient(ca).cert).serialNumber);
    expect(serials.every((serial) => /^[4-7][0-9A-F]{31}$/.test(serial))).toBe(true);
    expect(new Set(serials).size).toBe(20);
  });

  it("serves only for what it was issued", async () => {
    const failed = handshake({
      server: { ...newClient(ca) },
      client: { ca: ca.cert, servername: "localhost" },
    });
    await expect(failed).rejects.toMatchObject({ code: "INVALID_PURPOSE" });
  });
});

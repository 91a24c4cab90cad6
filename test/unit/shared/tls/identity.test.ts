import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { certificateIdentity, peerIdentity } from "../../../../shared/tls/identity.ts";
import { issueCa, issueCertificate } from "../../../../shared/tls/issue.ts";
import { handshake } from "./handshake.ts";

const ca = issueCa({ commonName: "test CA", validityDays: 1 });
const stranger = issueCa({ commonName: "another CA", validityDays: 1 });
const server = issueCertificate(ca, {
  commonName: "server",
  validityDays: 1,
  usages: ["server"],
  names: ["localhost"],
});
const agentOf = (authority: typeof ca, names: readonly string[] = []) =>
  issueCertificate(authority, { commonName: "agent 7", validityDays: 1, usages: ["client"], names });

describe("the identity of a peer", () => {
  it("is that of its verified certificate, at both ends", async () => {
    const agent = agentOf(ca, ["node-1", "node-2.test", "10.0.0.7", "2001:db8::7", "spiffe://test/agent/7"]);
    const ends = await handshake({
      server: { ...server, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
      client: { ...agent, ca: ca.cert, servername: "localhost" },
    });
    expect(peerIdentity(ends.server)).toEqual({
      commonName: "agent 7",
      dnsNames: ["node-1", "node-2.test"],
      ipAddresses: ["10.0.0.7", "2001:db8::7"],
      uris: ["spiffe://test/agent/7"],
      fingerprint256: new X509Certificate(agent.cert).fingerprint256,
    });
    expect(peerIdentity(ends.client)?.commonName).toBe("server");
  });

  it("is unknown if none was shown", async () => {
    const ends = await handshake({ server, client: { ca: ca.cert, servername: "localhost" } });
    expect(peerIdentity(ends.server)).toBeUndefined();
  });

  it("is unknown if what was shown is not of a known CA", async () => {
    const ends = await handshake({
      server: { ...server, ca: ca.cert, requestCert: true, rejectUnauthorized: false },
      client: { ...agentOf(stranger), ca: ca.cert, servername: "localhost" },
    });
    expect(ends.server.getPeerX509Certificate()?.subject).toBe("CN=agent 7");
    expect(peerIdentity(ends.server)).toBeUndefined();
  });
});

describe("the names of a certificate", () => {
  it("cannot be forged by a comma within a URI", () => {
    const uri = "spiffe://test/x,DNS:kube-apiserver,\"y'";
    const identity = certificateIdentity(new X509Certificate(agentOf(ca, ["node-1", uri, "node-2"]).cert));
    expect(identity).toMatchObject({ dnsNames: ["node-1", "node-2"], uris: [uri] });
  });

  it("may all be missing", () => {
    expect(certificateIdentity(new X509Certificate(agentOf(ca).cert))).toMatchObject({
      dnsNames: [],
      ipAddresses: [],
      uris: [],
    });
  });
});

import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CertificateSetOptions, writeCertificateSet } from "../../shared/tls/certificate-set.ts";
import { issueCa, issueCertificate } from "../../shared/tls/issue.ts";

/** Certificates in a folder, by the names that `hawser certs` gives them, and those of the kubelet's place. */
export interface DemoCertificates {
  /** Path of a file: `server.crt`, `client.key`, `agent-1.crt`, `kubelet-ca.crt`, ... */
  readonly path: (name: string) => string;
  readonly read: (name: string) => string;
  /** SHA-256 fingerprint of the kubelet's certificate. */
  readonly kubeletFingerprint: string;
}

const validityDays = 2;
const names = ["127.0.0.1", "localhost"];

/** Issues all that the demo needs into `folder`, which exists: the tunnel's two CAs, and a third of which it knows nothing. */
export async function issueDemoCertificates(folder: string, agentIds: readonly string[]): Promise<DemoCertificates> {
  const common = {
    folder,
    serverNames: names,
    clientCommonName: "kube-apiserver",
    agentCommonName: "agent",
    algorithm: "ecdsa-p256",
    validityDays,
    force: false,
  } as const satisfies CertificateSetOptions;
  await writeCertificateSet(common);
  for (const agentId of agentIds) {
    await writeCertificateSet({ ...common, only: "agent", agentId, agentCommonName: `agent-${agentId}` });
  }
  const ca = issueCa({ commonName: "kubelet CA", validityDays });
  const kubelet = issueCertificate(ca, { commonName: "kubelet", validityDays, usages: ["server"], names });
  const path = (name: string) => join(folder, name);
  writeFileSync(path("kubelet-ca.crt"), ca.cert);
  writeFileSync(path("kubelet.crt"), kubelet.cert);
  writeFileSync(path("kubelet.key"), kubelet.key, { mode: 0o600 });
  return {
    path,
    read: (name) => readFileSync(path(name), "utf8"),
    kubeletFingerprint: new X509Certificate(kubelet.cert).fingerprint256,
  };
}

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type IssuedPair, issueCa, issueCertificate } from "../../shared/tls/issue.ts";

/** Paths of a certificate and its key in PEM. */
export interface PairFiles {
  readonly cert: string;
  readonly key: string;
}

/** Three CAs that know nothing of each other, and what they vouch for. Server names are localhost, 127.0.0.1, ::1 and `nameBehindProxy`. */
export interface TestCertificates {
  readonly frontendCa: string;
  /** The proxy server towards frontends. */
  readonly server: PairFiles;
  /** kube-apiserver's place. */
  readonly client: PairFiles;
  readonly agentCa: string;
  /** The proxy server towards agents. */
  readonly cluster: PairFiles;
  readonly agent: PairFiles;
  readonly endpointCa: string;
  /** The kubelet's place. */
  readonly endpoint: PairFiles;
}

const validityDays = 1;
/** A name that nothing resolves, and that only a `ConnectProxy` takes for this machine: others would not be asked for loopback. */
export const nameBehindProxy = "server.hawser.test";
const serverNames = ["localhost", "127.0.0.1", "::1", nameBehindProxy];

/** Issues a new set into `folder`, which exists. The servers in it are known under `moreNames` as well. */
export function issueTestCertificates(folder: string, moreNames: readonly string[] = []): TestCertificates {
  const frontendCa = issueCa({ commonName: "frontend CA", validityDays });
  const agentCa = issueCa({ commonName: "agent CA", validityDays });
  const endpointCa = issueCa({ commonName: "endpoint CA", validityDays });
  const serverPair = (ca: IssuedPair, commonName: string) =>
    issueCertificate(ca, { commonName, validityDays, usages: ["server"], names: [...serverNames, ...moreNames] });
  const clientPair = (ca: IssuedPair, commonName: string) =>
    issueCertificate(ca, { commonName, validityDays, usages: ["client"], names: [] });
  const save = (name: string, pair: IssuedPair): PairFiles => {
    const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
    writeFileSync(files.cert, pair.cert);
    writeFileSync(files.key, pair.key, { mode: 0o600 });
    return files;
  };
  return {
    frontendCa: save("frontend-ca", frontendCa).cert,
    server: save("server", serverPair(frontendCa, "server")),
    client: save("client", clientPair(frontendCa, "client")),
    agentCa: save("agent-ca", agentCa).cert,
    cluster: save("cluster", serverPair(agentCa, "cluster")),
    agent: save("agent", clientPair(agentCa, "agent")),
    endpointCa: save("endpoint-ca", endpointCa).cert,
    endpoint: save("endpoint", serverPair(endpointCa, "endpoint")),
  };
}

import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
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

/** Issues one more client's certificate, beside that of the CA, which is one of the set. `names` are its alternative names. */
export function issueClientPair(
  caFile: string,
  client: { readonly commonName: string; readonly names?: readonly string[] },
): PairFiles {
  const { commonName, names = [] } = client;
  const ca = { cert: readFileSync(caFile, "utf8"), key: readFileSync(caFile.replace(/crt$/, "key"), "utf8") };
  const pair = issueCertificate(ca, { commonName, validityDays, usages: ["client"], names });
  return save(dirname(caFile), `client-${randomUUID()}`, pair);
}

/** Issues a new set into `folder`, which exists. The servers in it are known under `moreNames` as well. */
export function issueTestCertificates(folder: string, moreNames: readonly string[] = []): TestCertificates {
  const frontendCa = issueCa({ commonName: "frontend CA", validityDays });
  const agentCa = issueCa({ commonName: "agent CA", validityDays });
  const endpointCa = issueCa({ commonName: "endpoint CA", validityDays });
  const serverPair = (ca: IssuedPair, commonName: string) =>
    issueCertificate(ca, { commonName, validityDays, usages: ["server"], names: [...serverNames, ...moreNames] });
  const clientPair = (ca: IssuedPair, commonName: string) =>
    issueCertificate(ca, { commonName, validityDays, usages: ["client"], names: [] });
  const saved = (name: string, pair: IssuedPair) => save(folder, name, pair);
  return {
    frontendCa: saved("frontend-ca", frontendCa).cert,
    server: saved("server", serverPair(frontendCa, "server")),
    client: saved("client", clientPair(frontendCa, "client")),
    agentCa: saved("agent-ca", agentCa).cert,
    cluster: saved("cluster", serverPair(agentCa, "cluster")),
    agent: saved("agent", clientPair(agentCa, "agent")),
    endpointCa: saved("endpoint-ca", endpointCa).cert,
    endpoint: saved("endpoint", serverPair(endpointCa, "endpoint")),
  };
}

function save(folder: string, name: string, pair: IssuedPair): PairFiles {
  const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  writeFileSync(files.cert, pair.cert);
  writeFileSync(files.key, pair.key, { mode: 0o600 });
  return files;
}

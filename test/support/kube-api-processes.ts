import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { type IssuedPair, issueCa, issueCertificate } from "../../shared/tls/issue.ts";
import { buildGo } from "./go.ts";
import { ManagedProcess } from "./managed-process.ts";
import type { Workspace } from "./workspace.ts";

const host = "127.0.0.1";

/** Where a kube-apiserver serves, and the files that it is started with. All belong to the workspace. */
export interface KubeApiSetting {
  readonly url: string;
  readonly address: string | undefined;
  readonly port: number;
  readonly etcdUrl: string;
  /** Vouches for the API itself and for users with a certificate. */
  readonly ca: IssuedPair;
  readonly caCert: string;
  readonly serving: { readonly cert: string; readonly key: string };
  readonly serviceAccountKeys: { readonly publicKey: string; readonly privateKey: string };
  /** What the bearer of this token may do is everything. */
  readonly adminToken: string;
  readonly tokenFile: string;
  readonly flags: readonly string[];
}

export interface KubeApiOptions {
  /** One at which it is to be reached besides 127.0.0.1. It then listens at every address that there is. */
  readonly address?: string;
  /** A free one if left out. */
  readonly port?: number;
  /** Names in its certificate besides localhost and its address. */
  readonly names?: readonly string[];
  /** Users by their static tokens, besides the administrator. */
  readonly staticTokens?: Readonly<Record<string, string>>;
  /** More flags. */
  readonly flags?: readonly string[];
}

/** Writes keys, certificates and static tokens. */
export function writeKubeApiSetting(
  workspace: Workspace,
  ports: { readonly api: number; readonly etcd: number },
  options: KubeApiOptions = {},
): KubeApiSetting {
  const save = (name: string, text: string) => {
    const path = workspace.path(name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const validityDays = 1;
  const ca = issueCa({ commonName: "kube-apiserver CA", validityDays });
  const names = ["localhost", host, ...(options.names ?? [])];
  const pair = issueCertificate(ca, { commonName: "kube-apiserver", validityDays, usages: ["server"], names });
  const keys = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const adminToken = "administrator-of-a-test";
  const users = Object.entries(options.staticTokens ?? {}).map(([token, user]) => `${token},${user},${user}\n`);
  return {
    url: `https://${host}:${ports.api}`,
    address: options.address,
    port: ports.api,
    etcdUrl: `http://${host}:${ports.etcd}`,
    ca,
    caCert: save("kube-ca.crt", ca.cert),
    serving: { cert: save("kube-apiserver.crt", pair.cert), key: save("kube-apiserver.key", pair.key) },
    serviceAccountKeys: {
      publicKey: save("service-account.pub", keys.publicKey),
      privateKey: save("service-account.key", keys.privateKey),
    },
    adminToken,
    tokenFile: save("tokens.csv", `${adminToken},administrator,administrator,system:masters\n${users.join("")}`),
    flags: options.flags ?? [],
  };
}

export function buildEtcd(): Promise<string> {
  return buildGo({ moduleDir: "test/interop/kubernetes/etcd", package: ".", out: "etcd" });
}

export function buildKubeApi(): Promise<string> {
  return buildKubernetes("kube-apiserver");
}

/** Builds a program of Kubernetes, in the one version that the tests run. */
export function buildKubernetes(program: "kube-apiserver" | "kubelet" | "kubectl"): Promise<string> {
  return buildGo({
    moduleDir: "test/interop/kubernetes/programs",
    package: `k8s.io/kubernetes/cmd/${program}`,
    out: program,
  });
}

/** Starts the store of a kube-apiserver, built if need be; what it holds goes with the workspace. */
export async function spawnEtcd(
  workspace: Workspace,
  { etcdUrl }: KubeApiSetting,
  peerPort: number,
): Promise<ManagedProcess> {
  const file = await buildEtcd();
  const peerUrl = `http://${host}:${peerPort}`;
  return new ManagedProcess("etcd", {
    file,
    args: [
      `--data-dir=${workspace.path("etcd")}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      "--unsafe-no-fsync",
      "--log-level=warn",
    ],
  });
}

/** Starts a kube-apiserver, built if need be, that admits static tokens, client certificates and service accounts. */
export async function spawnKubeApi(workspace: Workspace, setting: KubeApiSetting): Promise<ManagedProcess> {
  const file = await buildKubeApi();
  const certDir = workspace.path("kube-apiserver");
  mkdirSync(certDir, { recursive: true });
  return new ManagedProcess("kube-apiserver", {
    file,
    args: [
      `--etcd-servers=${setting.etcdUrl}`,
      ...(setting.address === undefined
        ? [`--bind-address=${host}`]
        : ["--bind-address=0.0.0.0", `--advertise-address=${setting.address}`]),
      `--secure-port=${setting.port}`,
      `--cert-dir=${certDir}`,
      `--tls-cert-file=${setting.serving.cert}`,
      `--tls-private-key-file=${setting.serving.key}`,
      `--token-auth-file=${setting.tokenFile}`,
      `--client-ca-file=${setting.caCert}`,
      "--authorization-mode=RBAC",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${setting.serviceAccountKeys.publicKey}`,
      `--service-account-signing-key-file=${setting.serviceAccountKeys.privateKey}`,
      "--service-cluster-ip-range=10.96.0.0/16",
      // A loopback address is none that it would publish.
      "--endpoint-reconciler-type=none",
      ...setting.flags,
    ],
  });
}

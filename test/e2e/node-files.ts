import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type IssuedPair, issueCertificate } from "../../shared/tls/issue.ts";
import type { Workspace } from "../support/workspace.ts";
import { controlPlaneAddress, type NodeSite } from "./network.ts";
import { testImage } from "./test-image.ts";
import { cniPlugins } from "./tools.ts";

/** What a node is started with. `lib` and `log` take the place of /var/lib and /var/log there. */
export interface NodeFiles {
  readonly folder: string;
  readonly lib: string;
  readonly log: string;
  /** Where containerd listens, seen alike by the node and the tests. */
  readonly socket: string;
  readonly containerdConfig: string;
  readonly kubeletConfig: string;
  readonly servingCert: string;
  readonly servingKey: string;
}

export interface NodeSetting {
  readonly site: NodeSite;
  readonly workspace: Workspace;
  /** In which kubelet makes those of its pods. It is there. */
  readonly cgroup: string;
  /** Vouches for kubelet's clients, which is kube-apiserver. */
  readonly clientCa: string;
}

/** Writes what containerd, CNI and kubelet of a node read. */
export function writeNodeFiles(setting: NodeSetting): NodeFiles {
  const { site, workspace } = setting;
  const folder = workspace.path(site.name);
  const path = (name: string) => join(folder, name);
  for (const name of ["lib", "log", "cni"]) mkdirSync(path(name), { recursive: true });
  const files = {
    folder,
    lib: path("lib"),
    log: path("log"),
    socket: path("containerd.sock"),
    containerdConfig: path("containerd.toml"),
    kubeletConfig: path("kubelet.json"),
    servingCert: path("kubelet.crt"),
    servingKey: path("kubelet.key"),
  };
  writeFileSync(files.containerdConfig, containerdConfig(files.socket, path("cni")));
  writeFileSync(path("cni/pods.conflist"), JSON.stringify(podNetwork(site)));
  writeFileSync(files.kubeletConfig, JSON.stringify(kubeletConfig(setting, files)));
  writeServingPair(files, site, readCa(workspace.certificates.endpointCa));
  return files;
}

/** What kubelet serves with from its next start on: to clients that name no server, as those do that dial an address, it shows no newer one. */
export function writeServingPair(files: NodeFiles, site: NodeSite, ca: IssuedPair): void {
  const names = [site.address, site.name];
  const pair = issueCertificate(ca, { commonName: site.name, validityDays: 1, usages: ["server"], names });
  writeFileSync(files.servingKey, pair.key, { mode: 0o600 });
  writeFileSync(files.servingCert, pair.cert);
}

/** One of a workspace's CAs, by the path of its certificate. */
export function readCa(certFile: string): IssuedPair {
  return { cert: readFileSync(certFile, "utf8"), key: readFileSync(certFile.replace(/crt$/, "key"), "utf8") };
}

function containerdConfig(socket: string, cniFolder: string): string {
  return `version = 2
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${testImage}"
  # A virtual machine may refuse runc what it takes to lower it.
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${cniPlugins}"
  conf_dir = "${cniFolder}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`;
}

function podNetwork({ podSubnet }: NodeSite): object {
  const ipam = { type: "host-local", ranges: [[{ subnet: podSubnet }]], routes: [{ dst: "0.0.0.0/0" }] };
  return {
    cniVersion: "1.0.0",
    name: "pods",
    plugins: [{ type: "bridge", bridge: "pods", isGateway: true, ipMasq: false, ipam }],
  };
}

/** The plain port of kubelet, which shows what any client may see. */
export const kubeletReadOnlyPort = 10255;

function kubeletConfig({ site, cgroup, clientCa }: NodeSetting, files: NodeFiles): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address: site.address,
    readOnlyPort: kubeletReadOnlyPort,
    authentication: { x509: { clientCAFile: clientCa }, webhook: { enabled: true }, anonymous: { enabled: false } },
    authorization: { mode: "Webhook" },
    tlsCertFile: files.servingCert,
    tlsPrivateKeyFile: files.servingKey,
    containerRuntimeEndpoint: `unix://${files.socket}`,
    // On a machine that is somebody else's: no limits of its own, no rules, nothing put out for want of room.
    cgroupDriver: "cgroupfs",
    cgroupRoot: cgroup,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: ["none"],
    makeIPTablesUtilChains: false,
    evictionHard: { "memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%" },
    imageGCHighThresholdPercent: 100,
    // A log that is rotated is read from its newest file on.
    containerLogMaxSize: "500Mi",
    resolvConf: "",
  };
}

/** Where nodes find kube-apiserver. */
export function apiUrlForNodes(port: number): string {
  return `https://${controlPlaneAddress}:${port}`;
}

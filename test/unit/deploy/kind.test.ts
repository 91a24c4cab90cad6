import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { containersOf, flagsOf, parseManifests, yamlFiles } from "../../support/manifests.ts";
import { repositoryRoot } from "../../support/repository-root.ts";

interface Cluster {
  readonly nodes: readonly { readonly role: string; readonly extraMounts?: readonly object[] }[];
  readonly kubeadmConfigPatches: readonly string[];
  readonly kubeadmConfigPatchesJSON6902: readonly { readonly version: string; readonly patch: string }[];
}
interface ClusterConfiguration {
  readonly apiVersion: string;
  readonly apiServer: { readonly extraArgs: unknown; readonly extraVolumes: readonly { readonly mountPath: string }[] };
}

const folder = "deploy/kind";
const files = yamlFiles(folder);
const [one, three] = ["one", "three"].map((name) => parse(files.get(`cluster-${name}.yaml`) ?? "") as Cluster);
const [daemonSet] = parseManifests(yamlFiles("deploy/kustomize/server").get("daemonset.yaml") ?? "");
const server = daemonSet && containersOf(daemonSet).map((container) => flagsOf(container, "server"))[0];

it("the clusters differ in their control-plane nodes and in nothing else", () => {
  const roles = (cluster: Cluster | undefined) => cluster?.nodes.map(({ role }) => role);
  expect(roles(one)).toEqual(["control-plane", "worker", "worker"]);
  expect(roles(three)).toEqual(["control-plane", "control-plane", "control-plane", "worker", "worker"]);
  const [first, ...others] = three?.nodes.filter(({ role }) => role === "control-plane") ?? [];
  for (const node of [...others, one?.nodes[0]]) expect(node).toEqual(first);
  expect({ ...three, nodes: [] }).toEqual({ ...one, nodes: [] });
});

it("kube-apiserver finds the server's socket, by what both versions of kubeadm's configuration say", () => {
  const egress = parse(files.get("egress-selector.yaml") ?? "") as {
    readonly egressSelections: readonly { readonly connection: object }[];
  };
  const socket = server?.["uds-name"] ?? "";
  expect(egress.egressSelections[0]?.connection).toMatchObject({ transport: { uds: { udsName: socket } } });
  const path = "/etc/kubernetes/hawser/egress-selector.yaml";
  expect(one?.nodes[0]?.extraMounts).toEqual([
    { hostPath: "egress-selector.yaml", containerPath: path, readOnly: true },
  ]);
  const patches = one?.kubeadmConfigPatches.map((text) => parse(text) as ClusterConfiguration) ?? [];
  expect(patches.map(({ apiVersion, apiServer }) => [apiVersion, apiServer.extraArgs])).toEqual([
    ["kubeadm.k8s.io/v1beta3", { "egress-selector-config-file": path }],
    ["kubeadm.k8s.io/v1beta4", [{ name: "egress-selector-config-file", value: path }]],
  ]);
  for (const { apiServer } of patches) {
    expect(apiServer.extraVolumes.map(({ mountPath }) => mountPath)).toEqual([path, socket.replace(/\/[^/]+$/, "")]);
  }
});

it("the certificate that both use has the server's name", () => {
  const additions = one?.kubeadmConfigPatchesJSON6902.map(({ version, patch }) => [version, parse(patch)]);
  const name = "konnectivity-server.kube-system.svc.cluster.local";
  const addition = [{ op: "add", path: "/apiServer/certSANs/-", value: name }];
  expect(additions).toEqual([
    ["v1beta3", addition],
    ["v1beta4", addition],
  ]);
});

it("without docker the tests in kind say that they skipped", () => {
  const { status, stderr } = spawnSync(process.execPath, [join(repositoryRoot, "test/kind/run.mjs")], {
    encoding: "utf8",
    env: { PATH: "/nowhere" },
  });
  expect(stderr).toBe("SKIPPED: the tests in kind did not run: there is no docker\n");
  expect(status).toBe(77);
});

it("up.sh says which numbers of nodes there are", () => {
  const { status, stderr } = spawnSync(join(repositoryRoot, folder, "up.sh"), ["two"], { encoding: "utf8" });
  expect(stderr).toBe("up.sh: the number of control-plane nodes is one or three, not two\n");
  expect(status).toBe(1);
});

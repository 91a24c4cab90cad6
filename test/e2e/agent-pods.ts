import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../netns/tools.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import type { Cluster } from "./cluster.ts";
import { controlPlaneAddress, leadToApi, type NodeSite } from "./network.ts";
import { serverName } from "./server-pair.ts";

const namespace = "kube-system";
const pods = `/api/v1/namespaces/${namespace}/pods`;

/** The pod of a node. */
export const agentPodName = ({ name }: NodeSite) => `konnectivity-agent-${name}`;

/** Makes the images as users do, and gives them to every node. */
export async function importHawserImages({ workspace, nodes }: Cluster): Promise<void> {
  const archive = workspace.path("hawser.tar");
  await run(process.execPath, join(repositoryRoot, "dist/tools/image/main.js"), "--out", archive);
  for (const node of nodes.values()) await node.importImages(archive);
}

/** Applies the manifests of either half, as users do. Without controllers nothing comes of the workloads in them. */
export async function applyManifests({ kubectl, api }: Cluster): Promise<void> {
  for (const base of ["server", "agent-daemonset"]) {
    await kubectl.output(["apply", "--kustomize", join(repositoryRoot, "deploy/kustomize", base)]);
  }
  // A controller would publish this in every namespace.
  await api.ensure(`/api/v1/namespaces/${namespace}/configmaps`, {
    metadata: { name: "kube-root-ca.crt" },
    data: { "ca.crt": readFileSync(api.setting.caCert, "utf8") },
  });
}

/** Makes the pod that the controller of DaemonSets would make of the manifest, and resolves when it is ready. */
export async function startAgentPod(cluster: Cluster, site: NodeSite): Promise<void> {
  const { kubectl, api } = cluster;
  const daemonSet = await kubectl.text([
    "get",
    "daemonset/konnectivity-agent",
    `--namespace=${namespace}`,
    "--output=json",
  ]);
  const { template } = (JSON.parse(daemonSet) as { readonly spec: { readonly template: PodTemplate } }).spec;
  await leadToApi(site.name, api.setting.port);
  const name = agentPodName(site);
  // There is no DNS here.
  const hostAliases = [{ ip: controlPlaneAddress, hostnames: [serverName] }];
  await api.ensure(pods, {
    metadata: { ...template.metadata, name },
    spec: { ...template.spec, nodeName: site.name, hostAliases },
  });
  const args = ["wait", "--for=condition=Ready", "--timeout=60s", `--namespace=${namespace}`, `pod/${name}`];
  try {
    await kubectl.output(args, { withinMs: 70_000 });
  } catch (error) {
    const { body } = await api.call("GET", `${pods}/${name}`);
    throw new Error(`${JSON.stringify(body)}\n${cluster.describe()}`, { cause: error });
  }
}

interface PodTemplate {
  readonly metadata: object;
  readonly spec: object;
}

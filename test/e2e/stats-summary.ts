import { until } from "../support/until.ts";
import type { Kubectl } from "./kubectl.ts";
import type { NodeSite } from "./network.ts";

const countedWithinMs = 30_000;

/** What kubelet answers at `/stats/summary`, as far as it is read here. */
interface StatsSummary {
  readonly node: { readonly nodeName: string };
  readonly pods: readonly {
    readonly podRef: { readonly name: string };
    readonly containers: readonly { readonly memory?: { readonly workingSetBytes: number } }[];
  }[];
}

/** Memory of a pod's container in bytes, by the kubelet of its node, which counts now and then: waits until it has. */
export function countedMemory(kubectl: Kubectl, site: NodeSite, pod: string): Promise<number> {
  const counted = async () => {
    const text = await kubectl.text(["get", "--raw", `/api/v1/nodes/${site.name}/proxy/stats/summary`]);
    const { node, pods } = JSON.parse(text) as StatsSummary;
    if (node.nodeName !== site.name) throw new Error(`it is the summary of ${node.nodeName}`);
    const containers = pods.find(({ podRef }) => podRef.name === pod)?.containers;
    return containers?.find(({ memory }) => memory !== undefined)?.memory?.workingSetBytes;
  };
  return until(`memory of ${pod} in the summary of ${site.name}`, counted, { withinMs: countedWithinMs });
}

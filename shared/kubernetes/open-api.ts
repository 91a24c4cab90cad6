import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { createKubernetesClient, type KubernetesClient } from "./client.ts";
import { type ClusterService, inClusterAccess } from "./in-cluster.ts";
import { kubeconfigAccess } from "./kubeconfig.ts";

export interface KubernetesOptions {
  /** Empty means the cluster that this process runs in. */
  readonly kubeconfig: string;
  readonly service: ClusterService;
  /** Calls a second in the long run; below 0 means no limit. */
  readonly qps: number;
  /** Calls at once. */
  readonly burst: number;
}

/**
 * A client for kube-apiserver as the flags say. Calls nothing yet: an outage is seen by the first call.
 * Rejects with a UsageError of one sentence if the configuration is no good.
 */
export async function openKubernetesApi(
  deps: { readonly clock: Clock; readonly log: Log },
  { kubeconfig, service, qps, burst }: KubernetesOptions,
): Promise<KubernetesClient> {
  const access = kubeconfig === "" ? inClusterAccess(deps, service) : await kubeconfigAccess(deps, kubeconfig);
  return createKubernetesClient(access, { qps, burst, ...deps });
}

import type { Clock } from "../clock.ts";
import { type HttpProxy, type ProxyEnvironment, proxyFor } from "../http/proxy-environment.ts";
import type { Log } from "../log.ts";
import { createKubernetesClient, type KubernetesClient } from "./client.ts";
import { addressOf } from "./https-transport.ts";
import { type ClusterService, inClusterAccess } from "./in-cluster.ts";
import { kubeconfigAccess } from "./kubeconfig.ts";

export interface KubernetesOptions {
  /** Empty means the cluster that this process runs in. */
  readonly kubeconfig: string;
  readonly service: ClusterService;
  readonly proxies: ProxyEnvironment;
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
  { kubeconfig, service, proxies, qps, burst }: KubernetesOptions,
): Promise<KubernetesClient> {
  const access = kubeconfig === "" ? inClusterAccess(deps, service) : await kubeconfigAccess(deps, kubeconfig);
  const proxy = proxyTo(access.url, proxies);
  if (proxy !== undefined) deps.log.info({ proxy: proxy.shown }, "kube-apiserver is reached through a proxy");
  return createKubernetesClient({ ...access, proxy }, { qps, burst, ...deps });
}

/** As the reference's client does, but for proxies that are reached by TLS or SOCKS. Source: Go's net/http */
function proxyTo(url: URL, proxies: ProxyEnvironment): HttpProxy | undefined {
  return proxyFor(proxies, addressOf(url), { schemes: ["http"], defaultPort: 80 });
}

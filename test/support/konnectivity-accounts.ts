import type { KubeApi } from "./kube-api.ts";

export const agentNamespace = "kube-system";
export const agentAccount = "konnectivity-agent";
export const serverUser = "system:konnectivity-server";
export const tokenAudience = "system:konnectivity-server";

const rbac = "/apis/rbac.authorization.k8s.io/v1";
const leaseRules = (verbs: readonly string[]) => [{ apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs }];

/** Lets the server's user review tokens, as the reference's manifests do. */
export function allowTokenReviews(api: KubeApi, user: string): Promise<void> {
  return bindClusterRole(api, user, "system:auth-delegator");
}

/** What kubeadm's admin.conf is for. */
export function allowEverything(api: KubeApi, user: string): Promise<void> {
  return bindClusterRole(api, user, "cluster-admin");
}

export async function bindClusterRole(api: KubeApi, user: string, role: string): Promise<void> {
  await api.ensure(`${rbac}/clusterrolebindings`, {
    metadata: { name: user },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }],
  });
}

/** What a server with a lease controller needs, and no more. The reference's manifests run it as the administrator. */
export async function allowLeaseKeeping(api: KubeApi, user: string): Promise<void> {
  const name = `${user}:leases`;
  const roles = `${rbac}/namespaces/${agentNamespace}/roles`;
  await api.ensure("/api/v1/namespaces", { metadata: { name: agentNamespace } });
  await api.ensure(roles, { metadata: { name }, rules: leaseRules(["get", "create", "update", "list", "delete"]) });
  await api.ensure(`${rbac}/namespaces/${agentNamespace}/rolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }],
  });
}

/** Lets agents count leases, with the rules of the reference's manifests. */
export async function allowLeaseCounting(api: KubeApi): Promise<void> {
  const name = "system:konnectivity-agent";
  await api.ensure(`${rbac}/clusterroles`, { metadata: { name }, rules: leaseRules(["get", "watch", "list"]) });
  await api.ensure(`${rbac}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
    subjects: [{ kind: "ServiceAccount", name: agentAccount, namespace: agentNamespace }],
  });
}

/** A token with which an agent presents itself to a server, of the account that servers expect unless told otherwise. */
export function agentToken(
  api: KubeApi,
  options: {
    readonly namespace?: string;
    readonly account?: string;
    readonly audience?: string;
    readonly boundTo?: { readonly kind: "Pod" | "Node"; readonly name: string };
  } = {},
): Promise<string> {
  const { namespace = agentNamespace, account = agentAccount, audience = tokenAudience, boundTo } = options;
  return api.createServiceAccountToken(namespace, account, audience, boundTo);
}

import { cleanErrorText } from "../../shared/konnectivity/dial-error-text.ts";
import type { KubernetesApi } from "../../shared/kubernetes/api.ts";
import { KubernetesError } from "../../shared/kubernetes/api.ts";

/** Whose tokens are taken. */
export interface ExpectedAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string;
}

/** Who a token proves its bearer to be. */
export interface TokenAccount {
  /** `system:serviceaccount:<namespace>:<name>` */
  readonly username: string;
  /** The node of the pod that the token is bound to, where kube-apiserver tells. */
  readonly nodeName: string | undefined;
}

export type Verdict =
  | { readonly kind: "accepted"; readonly account: TokenAccount }
  /** `reason` is what the reference would say. */
  | { readonly kind: "refused"; readonly reason: string };

const reviewsPath = "/apis/authentication.k8s.io/v1/tokenreviews";
/** Half of it may go by before the call does. Leaves time to answer within the 10 s that an agent has from accept to admission. */
const reviewTimeoutMs = 8_000;
const nodeNameKey = "authentication.kubernetes.io/node-name";

/** Asks kube-apiserver about one token. Rejects with a KubernetesError if it does not say; that is no verdict. */
export async function reviewToken(api: KubernetesApi, token: string, expected: ExpectedAccount): Promise<Verdict> {
  const answer = await api.request<unknown>("POST", reviewsPath, {
    body: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [expected.audience] },
    },
    timeoutMs: reviewTimeoutMs,
  });
  return judge(fieldsOf(answer).status, expected);
}

/** The reference's checks in its order, and then the audience, which it does not look at. Source: the reference. */
function judge(status: unknown, expected: ExpectedAccount): Verdict {
  if (typeof status !== "object" || status === null) {
    throw new KubernetesError(200, "", "kube-apiserver answered a TokenReview without a status");
  }
  const { error, authenticated, user, audiences } = fieldsOf(status);
  if (typeof error === "string" && error !== "") return refused(cleanErrorText(error));
  if (authenticated !== true) return refused("service account jwt not valid");
  const { username, extra } = fieldsOf(user);
  const parts = typeof username === "string" ? username.split(":") : [];
  const [system, kind, namespace, name] = parts;
  if (parts.length !== 4) return refused("unexpected username format");
  if (system !== "system" || kind !== "serviceaccount") return refused("username returned is not a service account");
  if (namespace !== expected.namespace) {
    return refused(`incoming request from "${namespace}" namespace. Expected "${expected.namespace}"`);
  }
  if (name !== expected.serviceAccount) {
    return refused(`incoming request from "${name}" service account. Expected "${expected.serviceAccount}"`);
  }
  // An authenticator that knows nothing of audiences returns none: then the answer does not speak of them.
  if (Array.isArray(audiences) && audiences.length > 0 && !audiences.includes(expected.audience)) {
    return refused(`the token is not for the audience "${expected.audience}"`);
  }
  const nodeNames = fieldsOf(extra)[nodeNameKey];
  const nodeName: unknown = Array.isArray(nodeNames) ? nodeNames[0] : undefined;
  return {
    kind: "accepted",
    account: { username: parts.join(":"), nodeName: typeof nodeName === "string" ? nodeName : undefined },
  };
}

const refused = (reason: string): Verdict => ({ kind: "refused", reason: `lookup failed: ${reason}` });

/** What is no object has no fields. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

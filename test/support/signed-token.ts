import { randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { agentAccount, agentNamespace, tokenAudience } from "./konnectivity-accounts.ts";
import type { KubeApi } from "./kube-api.ts";

/**
 * A token of the agents' account, which is there, that ends when it is told to: kube-apiserver itself gives none that is over.
 * It is signed with kube-apiserver's own key. `expiresAt` is in seconds since 1970.
 */
export async function signAgentToken(api: KubeApi, expiresAt: number): Promise<string> {
  const path = `/api/v1/namespaces/${agentNamespace}/serviceaccounts/${agentAccount}`;
  const { body } = await api.call("GET", path);
  const { uid } = (body as { readonly metadata: { readonly uid: string } }).metadata;
  const issuedAt = expiresAt - 3_600;
  const part = (content: object) => Buffer.from(JSON.stringify(content)).toString("base64url");
  const claims = {
    aud: [tokenAudience],
    exp: expiresAt,
    iat: issuedAt,
    nbf: issuedAt,
    iss: "https://kubernetes.default.svc",
    jti: randomUUID(),
    "kubernetes.io": { namespace: agentNamespace, serviceaccount: { name: agentAccount, uid } },
    sub: `system:serviceaccount:${agentNamespace}:${agentAccount}`,
  };
  const signed = `${part({ alg: "ES256", typ: "JWT" })}.${part(claims)}`;
  const key = readFileSync(api.setting.serviceAccountKeys.privateKey, "utf8");
  // JWS has the two numbers of a signature as they are, not in DER.
  return `${signed}.${sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

import { afterAll, beforeAll, expect, test } from "vitest";
import { type KubeApi, startKubeApi } from "../support/kube-api.ts";
import { Workspace } from "../support/workspace.ts";

const namespace = "kube-system";
const account = "konnectivity-agent";
const audience = "system:konnectivity-server";
const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;

let workspace: Workspace;
let api: KubeApi | undefined;

beforeAll(async () => {
  workspace = new Workspace();
  api = await startKubeApi(workspace);
});
afterAll(async () => {
  await api?.stop();
  workspace.remove();
});

const running = (): KubeApi => api ?? expect.unreachable("the hook has started it");

function review(token: string, ...audiences: readonly string[]) {
  const spec = { token, audiences };
  return running().call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { spec });
}

test("a real kube-apiserver reviews a token of a service account", async () => {
  const token = await running().createServiceAccountToken(namespace, account, audience);
  const { status, body } = await review(token, audience);
  expect(status).toBe(201);
  expect(body).toMatchObject({
    status: { authenticated: true, user: { username: `system:serviceaccount:${namespace}:${account}` } },
  });
  expect((await review(token, "somebody-else")).body).not.toMatchObject({ status: { authenticated: true } });
  expect((await review(`${token}x`, audience)).body).not.toMatchObject({ status: { authenticated: true } });
});

test("it keeps leases, also while it is away", async () => {
  const labels = { "k8s-app": "konnectivity-server" };
  const spec = { holderIdentity: "server-1", leaseDurationSeconds: 30 };
  const lease = { metadata: { name: "konnectivity-proxy-server-1", labels }, spec };
  expect((await running().call("POST", leases, lease)).status).toBe(201);
  const listed = { status: 200, body: { items: [lease] } };
  const selected = `${leases}?labelSelector=k8s-app%3Dkonnectivity-server`;
  expect(await running().call("GET", selected)).toMatchObject(listed);
  await running().stopServing();
  await expect(running().call("GET", selected)).rejects.toThrow("ECONNREFUSED");
  await running().startServing();
  expect(await running().call("GET", selected)).toMatchObject(listed);
});

test("a service account may do nothing that it was not given", async () => {
  const token = await running().createServiceAccountToken(namespace, account, audience);
  expect((await running().call("GET", leases, undefined, token)).status).toBe(401);
  const own = await running().createServiceAccountToken(namespace, account, "https://kubernetes.default.svc");
  expect((await running().call("GET", leases, undefined, own)).status).toBe(403);
});

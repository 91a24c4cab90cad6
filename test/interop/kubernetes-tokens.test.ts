import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  agentAccount,
  agentNamespace,
  agentToken,
  allowTokenReviews,
  serverUser,
} from "../support/konnectivity-accounts.ts";
import { type KubeApi, startKubeApi } from "../support/kube-api.ts";
import { buildReference } from "../support/processes.ts";
import type { RawSession } from "../support/raw-grpc.ts";
import { signAgentToken } from "../support/signed-token.ts";
import { callAsAgent } from "../support/token-server.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";
import { TokenPairing } from "./token-pairing.ts";

const reference = "reference-v0.36.0";
const unavailable = 14;
const unauthenticated = 16;
const hourSeconds = 3_600;
const nowSeconds = () => Math.floor(Date.now() / 1000);

let workspace: Workspace;
let api: KubeApi;
let kubeconfig: string;
beforeAll(async () => {
  workspace = new Workspace();
  api = await startKubeApi(workspace);
  await allowTokenReviews(api, serverUser);
  kubeconfig = api.writeCertificateKubeconfig(serverUser);
  for (const half of ["server", "agent"] as const) await buildReference(reference, half);
  // The accounts come with their first tokens.
  await agentToken(api);
  for (const node of ["node-a", "node-b"]) await api.ensure("/api/v1/nodes", { metadata: { name: node } });
});
afterAll(async () => {
  await api?.stop();
  workspace?.remove();
});

/** A pod of the account that is bound to a node; there is no kubelet that would run it. */
async function createPod(name: string, nodeName: string, account = agentAccount): Promise<void> {
  await api.ensure(`/api/v1/namespaces/${agentNamespace}/pods`, {
    metadata: { name },
    spec: {
      nodeName,
      serviceAccountName: account,
      automountServiceAccountToken: false,
      containers: [{ name: "agent", image: "agent" }],
    },
  });
}

async function remove(path: string): Promise<void> {
  // 0 s, since no kubelet is there that would end a pod.
  expect(await api.call("DELETE", `${path}?gracePeriodSeconds=0`)).toMatchObject({ status: 200 });
  expect(await api.call("GET", path)).toMatchObject({ status: 404 });
}

async function tokenOfDeletedPod(): Promise<string> {
  await createPod("short-lived", "node-a");
  const token = await agentToken(api, { boundTo: { kind: "Pod", name: "short-lived" } });
  await remove(`/api/v1/namespaces/${agentNamespace}/pods/short-lived`);
  return token;
}

/** Of the right account, which is then another one of the same name. */
async function tokenOfDeletedAccount(): Promise<string> {
  const token = await agentToken(api);
  await remove(`/api/v1/namespaces/${agentNamespace}/serviceaccounts/${agentAccount}`);
  await agentToken(api);
  return token;
}

/** What a server says of each: kube-apiserver's own words but for whose token is taken. */
const refused: readonly (readonly [what: string, token: () => Promise<string>, text: string])[] = [
  [
    "for another audience",
    () => agentToken(api, { audience: "somebody-else" }),
    "lookup failed: [invalid bearer token",
  ],
  ["that is over", () => signAgentToken(api, nowSeconds() - hourSeconds), "service account token has expired"],
  ["of a deleted pod", tokenOfDeletedPod, "lookup failed: [invalid bearer token"],
  ["of a deleted account", tokenOfDeletedAccount, "lookup failed: [invalid bearer token"],
  [
    "of another account",
    () => agentToken(api, { account: "somebody" }),
    `from "somebody" service account. Expected "${agentAccount}"`,
  ],
  [
    "of another namespace",
    () => agentToken(api, { namespace: "default" }),
    `from "default" namespace. Expected "${agentNamespace}"`,
  ],
  ["that is none", async () => "eyJhbGciOi.garbage.of-no-meaning", "lookup failed: invalid bearer token"],
];

describe.each([
  { server: "hawser", agent: "hawser" },
  { server: "hawser", agent: reference },
  { server: reference, agent: "hawser" },
] as const)("$agent agent, $server server", ({ server, agent }) => {
  let pairing: TokenPairing;
  beforeAll(async () => {
    pairing = await TokenPairing.start({ api, server, agent, kubeconfig });
    pairing.writeToken(await agentToken(api));
    await pairing.startAgent();
  });
  afterAll(() => pairing?.stop());

  it("lets in an agent with the right token", () => pairing.linked());

  it("lets it in with a token that this test has signed with the API's key", async () => {
    pairing.writeToken(await signAgentToken(api, nowSeconds() + hourSeconds));
    await pairing.reconnected();
  });

  it.each(refused)(
    "does not let it in with a token %s, which it reads when it connects again",
    async (_what, token, text) => {
      const from = pairing.server.stderr.length;
      pairing.writeToken(await token());
      await pairing.cut();
      // Twice, so that it has seen the first refusal and come back.
      await pairing.logged("server", text, { from, times: 2 });
      expect(await pairing.linkCount()).toBe(0);
      expect((await pairing.agent.get("/readyz")).status).not.toBe(200);
      await pairing.admit();
    },
  );

  it("does not let it in while its token file is empty", async () => {
    // A reference agent presents no token then, and HTTP/2 here drops a value that ends with the blank of "Bearer ".
    const [half, text] =
      agent === "hawser"
        ? (["agent", "agent-token is empty"] as const)
        : (["server", "Authentication context was not found in metadata"] as const);
    const from = pairing[half].stderr.length;
    pairing.writeToken("");
    await pairing.cut();
    await pairing.logged(half, text, { from, times: 2 });
    expect(await pairing.linkCount()).toBe(0);
    await pairing.admit();
  });

  // A reference agent of v0.36.0 crashes then.
  if (agent === "hawser") {
    it("does not let it in while its token file is gone", async () => {
      const from = pairing.agent.stderr.length;
      pairing.removeTokenFile();
      await pairing.cut();
      await pairing.logged("agent", "cannot be read: ENOENT", { from, times: 2 });
      expect(await pairing.linkCount()).toBe(0);
      await pairing.admit();
    });
  }
});

describe("our server", () => {
  let pairing: TokenPairing;
  const sessions: RawSession[] = [];
  beforeAll(async () => {
    pairing = await TokenPairing.start({ api, server: "hawser", agent: "hawser", kubeconfig });
  });
  afterEach(async () => {
    for (const session of sessions.splice(0)) await session.close();
  });
  afterAll(() => pairing?.stop());

  const call = async (token: string) => {
    const raw = await callAsAgent(pairing, "raw", `Bearer ${token}`);
    sessions.push(raw.session);
    return raw.stream;
  };

  it.each(["Pod", "Node"] as const)("learns the agent's node from a token that is bound to a %s", async (kind) => {
    const name = kind === "Pod" ? "agent-on-b" : "node-b";
    if (kind === "Pod") await createPod(name, "node-b");
    const from = pairing.server.stderr.length;
    const stream = await call(await agentToken(api, { boundTo: { kind, name } }));
    await stream.headers;
    await pairing.logged("server", '"node":"node-b"', { from, times: 1 });
  });

  it("refuses with UNAUTHENTICATED and in kube-apiserver's words", async () => {
    const stream = await call(await signAgentToken(api, nowSeconds() - hourSeconds));
    expect(await stream.ended).toMatchObject({
      status: unauthenticated,
      message: expect.stringContaining("err:lookup failed: [invalid bearer token, service account token has expired]"),
    });
  });
});

describe.each(["hawser", reference] as const)("our server may not review tokens: a %s agent", (agent) => {
  const user = `stranger-of-${agent}`;
  let pairing: TokenPairing;
  beforeAll(async () => {
    pairing = await TokenPairing.start({
      api,
      server: "hawser",
      agent,
      kubeconfig: api.writeCertificateKubeconfig(user),
    });
  });
  afterAll(() => pairing?.stop());

  it("is told UNAVAILABLE, and tries ever more rarely until the server may", async () => {
    pairing.writeToken(await agentToken(api));
    await pairing.startAgent();
    const text = "the token cannot be reviewed now";
    await pairing.tried(4);
    const raw = await callAsAgent(pairing, "raw", `Bearer ${await agentToken(api)}`);
    expect(await raw.stream.ended).toMatchObject({ status: unavailable, message: expect.stringContaining(text) });
    await raw.session.close();
    expect(await pairing.linkCount()).toBe(0);
    const told = pairing.server.stderr.filter((line) => line.includes("ClusterRole system:auth-delegator"));
    expect(told).toHaveLength(1);
    if (agent === "hawser") await backsOff();
    await allowTokenReviews(api, user);
    await pairing.linked();
  });

  /** Its own waits: each is a half longer than the one before, up to the 500 ms that it was given as their end. */
  async function backsOff(): Promise<void> {
    const waits = () =>
      pairing.agent.stderr.flatMap((line) => {
        const { retryInMs } = JSON.parse(line) as { readonly retryInMs?: number };
        return retryInMs === undefined ? [] : [retryInMs];
      });
    await until("five failed attempts", () => waits().length >= 5, pairing.agent.withinStart());
    const least = [100, 150, 225, 337, 500];
    for (const [index, waitMs] of least.entries()) {
      expect(waits()[index]).toBeGreaterThanOrEqual(waitMs);
      expect(waits()[index]).toBeLessThanOrEqual(waitMs * 1.1 + 1);
    }
  }
});

import { writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type ApiAnswer, reviewAnswer, statusAnswer } from "../support/fake-kube-api.ts";
import { accepted, startTokenServer, TokenServer } from "../support/token-server.ts";
import { until } from "../support/until.ts";

const resourceExhausted = 8;
const unavailable = 14;
const unauthenticated = 16;
const prefix = "Failed to validate authentication token, err:";

let scene: TokenServer;
beforeAll(async () => {
  scene = await TokenServer.start();
});
afterEach(async () => {
  await scene.hangUp();
  scene.answerReviews();
  await untilLinked(0);
});
afterAll(() => scene.stop());

const untilLinked = (count: number) =>
  until(`${count} agents linked`, async () => (await scene.linked()) === count, scene.server.withinStart());

/** How the call of an agent ends that presents this. */
async function refusal(authorization?: string) {
  const { stream } = await scene.connect("refused", authorization);
  return stream.ended;
}

describe("an agent with a token", () => {
  it("is linked after the yes, without a certificate, and not before", async () => {
    const node = { "authentication.kubernetes.io/node-name": ["node-7"] };
    const answers: (() => void)[] = [];
    scene.api.script = () => (response) => {
      const body = JSON.stringify({ kind: "TokenReview", status: accepted(undefined, node) });
      answers.push(() => response.writeHead(201).end(body));
    };
    const before = scene.api.calls.length;
    const { stream } = await scene.connect("a", "Bearer good-1");
    let announced = false;
    void stream.headers.then(() => {
      announced = true;
    });
    await scene.api.called(before + 1);
    expect(await scene.linked()).toBe(0);
    expect(announced).toBe(false);
    for (const answer of answers) answer();
    expect(await stream.headers).toMatchObject({ servercount: "1", serverid: expect.any(String) });
    await untilLinked(1);
    expect(scene.api.calls.at(-1)).toMatchObject({
      method: "POST",
      path: "/apis/authentication.k8s.io/v1/tokenreviews",
      headers: { authorization: "Bearer server-token" },
      body: { kind: "TokenReview", spec: { token: "good-1", audiences: ["system:konnectivity-server"] } },
    });
    const line = scene.server.stderr.findLast((text) => text.includes("agent linked"));
    expect(JSON.parse(line ?? "")).toMatchObject({
      subject: "system:serviceaccount:kube-system:konnectivity-agent",
      node: "node-7",
    });
    expect(scene.server.stderr.join("\n")).not.toContain("good-1");
  });

  it("shares its review with all who come with the same token", async () => {
    scene.tokens.set("fleet", accepted());
    const agents = await Promise.all(
      Array.from({ length: 20 }, (_, index) => scene.connect(`a-${index}`, "Bearer fleet")),
    );
    await Promise.all(agents.map(({ stream }) => stream.headers));
    await untilLinked(20);
    expect(scene.reviewsOf("fleet")).toBe(1);
  });

  it("that leaves while its token is reviewed, is not linked", async () => {
    let answer = () => {};
    scene.api.script = () => (response) => {
      answer = () => response.end(JSON.stringify({ status: accepted() }));
    };
    const before = scene.api.calls.length;
    await scene.connect("gone", "Bearer left-behind");
    await scene.api.called(before + 1);
    await scene.hangUp();
    // Only then is it certain that the server has seen the agent leave before the verdict comes.
    await until(
      "the server has seen the agent leave",
      async () => (await scene.server.metric("grpc_connections", { service_method: "Connect" })) === 0,
      scene.server.withinStart(),
    );
    answer();
    const { stream } = await scene.connect("stays", "Bearer left-behind");
    await stream.headers;
    await untilLinked(1);
    expect(scene.reviewsOf("left-behind")).toBe(1);
    const linkedEver = scene.server.stderr.filter((line) => line.includes("agent linked")).join("\n");
    expect(linkedEver).toContain('"agent":"stays"');
    expect(linkedEver).not.toContain('"agent":"gone"');
  });
});

describe("an agent is refused", () => {
  it.each([
    ["without a token", undefined, "Authentication context was not found in metadata"],
    ["without a scheme", "abc", 'received token does not have "Bearer " prefix'],
    ["with another scheme", "bearer abc", 'received token does not have "Bearer " prefix'],
    [
      "with a token of 16 KiB and a byte",
      `Bearer ${"x".repeat(16_385)}`,
      `${prefix}lookup failed: the token is longer than 16384 bytes`,
    ],
  ])("%s, unasked", async (_what, authorization, message) => {
    const before = scene.api.calls.length;
    expect(await refusal(authorization)).toMatchObject({ status: unauthenticated, message });
    expect(scene.api.calls).toHaveLength(before);
  });

  it.each([
    ["an invalid token", { authenticated: false }, "service account jwt not valid"],
    [
      "an expired token",
      { error: "[invalid bearer token, service account token has expired]" },
      "[invalid bearer token, service account token has expired]",
    ],
    [
      "a token of another audience",
      { ...accepted(), audiences: ["https://kubernetes.default.svc"] },
      'the token is not for the audience "system:konnectivity-server"',
    ],
    [
      "a token of another namespace",
      accepted("system:serviceaccount:default:konnectivity-agent"),
      'incoming request from "default" namespace. Expected "kube-system"',
    ],
    [
      "a token of another account",
      accepted("system:serviceaccount:kube-system:default"),
      'incoming request from "default" service account. Expected "konnectivity-agent"',
    ],
    ["a user's token", accepted("kubernetes-admin"), "unexpected username format"],
  ])("with %s, and its connection ends", async (what, status, text) => {
    const token = what.replaceAll(" ", "-");
    scene.tokens.set(token, status);
    const { session, stream } = await scene.connect("refused", `Bearer ${token}`);
    expect(await stream.ended).toMatchObject({ status: unauthenticated, message: `${prefix}lookup failed: ${text}` });
    await session.closed;
    // Not only when the time of a connection without an agent is over.
    const page = await scene.server.metrics();
    expect(page.sum("hawser_server_refused_total", { limit: "admission_time" }) ?? 0).toBe(0);
    expect(await scene.linked()).toBe(0);
    // Once more, for the cached verdict.
    expect(await refusal(`Bearer ${token}`)).toMatchObject({ status: unauthenticated });
    expect(scene.reviewsOf(token)).toBe(1);
  });
});

describe("while kube-apiserver does not say", () => {
  const message = `${prefix}Failed to authenticate request. err:the token cannot be reviewed now`;
  const linkedAgent = async () => {
    scene.tokens.set("linked", accepted());
    const agent = await scene.connect("linked", "Bearer linked");
    await agent.stream.headers;
    await untilLinked(1);
    return agent;
  };

  it.each<[string, ApiAnswer]>([
    ["403", statusAnswer(403, "Forbidden", "tokenreviews.authentication.k8s.io is forbidden")],
    ["429", statusAnswer(429, "TooManyRequests", "try again later")],
    ["500", statusAnswer(500, "InternalError", "etcd has no leader")],
    ["garbage", (response) => response.end("<html>")],
    ["no status", { status: 201, body: { kind: "TokenReview" } }],
    ["a closed connection", "close"],
    ["nothing", "hang"],
  ])("but answers with %s, a new agent is put off, one that is linked stays", async (what, answer) => {
    const linked = await linkedAgent();
    const token = `new-${what.replaceAll(" ", "-")}`;
    scene.api.script = () => answer;
    expect(await refusal(`Bearer ${token}`)).toMatchObject({ status: unavailable, message });
    expect(linked.stream.closed).toBe(false);
    scene.answerReviews();
    scene.tokens.set(token, accepted());
    const { stream } = await scene.connect("new", `Bearer ${token}`);
    await stream.headers;
    await untilLinked(2);
  });

  it("and cannot be reached, the same; it is asked again when it is back", async () => {
    const linked = await linkedAgent();
    scene.tokens.set("later", accepted());
    await scene.api.close();
    expect(await refusal("Bearer later")).toMatchObject({ status: unavailable, message });
    expect(linked.stream.closed).toBe(false);
    await scene.api.listen();
    const { stream } = await scene.connect("later", "Bearer later");
    await stream.headers;
    // What the server has logged before it answered may come here after the answer.
    for (const text of [
      "new agents are put off until they work again",
      "token reviews work again",
      "ClusterRole system:auth-delegator",
    ]) {
      const said = () => scene.server.stderr.some((line) => line.includes(text));
      await until(`a line with ${JSON.stringify(text)}`, said, scene.server.withinStart());
    }
  });
});

describe("at its start a server with tokens", () => {
  const start = async (kubeconfig: string) => {
    const path = scene.workspace.path("other-kubeconfig");
    writeFileSync(path, kubeconfig);
    return startTokenServer(scene.workspace, path);
  };

  it.each([
    ["current-context: a", /proxy-server: kubeconfig \S+: contexts has no "a"; it has none\n.*exited with code 1/],
    ["{", /proxy-server: kubeconfig \S+: it is not YAML, at line 1, column \d+\n.*exited with code 1/],
  ])("ends with one line if its kubeconfig is no good: %j", async (kubeconfig, text) => {
    await expect(start(kubeconfig)).rejects.toThrow(text);
  });

  it("does not need kube-apiserver to be there", async () => {
    const nowhere = scene.api.kubeconfig().replace(/https:\/\/127\.0\.0\.1:\d+/, "https://127.0.0.1:1");
    const server = await start(nowhere);
    expect(await server.metric("ready_backends", { proxy_strategy: "default" })).toBe(0);
    await server.stop();
  });
});

it("a reason of kube-apiserver's is cut and cleaned before an agent gets it", async () => {
  scene.api.script = () => reviewAnswer({ error: "e\n".repeat(10_000) });
  const { status, message } = await refusal("Bearer long");
  expect(status).toBe(unauthenticated);
  expect(message.length).toBeLessThan(1_200);
  expect(message).not.toContain("\n");
});

it("R-1.3: what peers send before anybody knows who they are counts as held, and costs them their calls", async () => {
  const strict = await TokenServer.start(["--max-held-mib=1"]);
  try {
    // Kube-apiserver takes its time.
    strict.api.script = () => () => {};
    const peers = await Promise.all([1, 2, 3].map((index) => strict.connect(`peer-${index}`, `Bearer guess-${index}`)));
    for (const { stream } of peers) stream.sendBytes(Buffer.alloc(900_000));
    const first = await Promise.race(peers.map(({ stream }) => stream.ended));
    expect(first).toMatchObject({ status: resourceExhausted });
  } finally {
    await strict.stop();
  }
});

import { describe, expect, it } from "vitest";
import { bearerToken } from "../../../../server/authentication/bearer-token.ts";
import { TokenAuthenticator } from "../../../../server/authentication/token-authenticator.ts";
import { GrpcCode, GrpcError } from "../../../../shared/grpc/status.ts";
import { type KubernetesApi, KubernetesError } from "../../../../shared/kubernetes/api.ts";
import { silentLog } from "../../../../shared/log.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { turn } from "../../../support/turn.ts";

const expected = { namespace: "ns", serviceAccount: "sa", audience: "aud" };
const nodeKey = "authentication.kubernetes.io/node-name";
const accepted = {
  authenticated: true,
  audiences: ["aud"],
  user: { username: "system:serviceaccount:ns:sa", uid: "1", extra: { [nodeKey]: ["node-7"] } },
};
const account = { username: "system:serviceaccount:ns:sa", nodeName: "node-7" };
const epochMs = 1_800_000_000_000;

/** A token that ends so many milliseconds after the tests' start. */
const jwt = (exp: unknown) => `h.${Buffer.from(JSON.stringify({ exp })).toString("base64url")}.s`;

function scene() {
  const clock = new FakeClock();
  const calls: { method: string; path: string; options: unknown }[] = [];
  /** Asked for each review: the status of its answer, or an error to fail with. */
  let answer: () => unknown = () => accepted;
  const api: KubernetesApi = {
    async request<T>(...[method, path, options]: Parameters<KubernetesApi["request"]>): Promise<T> {
      calls.push({ method, path, options });
      const status = await answer();
      if (status instanceof Error) throw status;
      return { kind: "TokenReview", status } as T;
    },
    watch: () => {
      throw new Error("nothing is watched here");
    },
  };
  const authenticator = new TokenAuthenticator(
    { api, clock, wallClock: () => epochMs + clock.now(), log: silentLog },
    expected,
  );
  return {
    clock,
    calls,
    authenticate: (token: string, signal = new AbortController().signal) =>
      authenticator.authenticate(token, { signal }),
    answer: (next: () => unknown) => {
      answer = next;
    },
  };
}

const refusal = (text: string) =>
  new GrpcError(GrpcCode.UNAUTHENTICATED, `Failed to validate authentication token, err:lookup failed: ${text}`);

/** The GrpcError that it fails with, checked for its code as well, which toThrow would not. */
async function expectRefusal(work: Promise<unknown>, error: GrpcError): Promise<void> {
  await expect(work).rejects.toMatchObject({ name: "GrpcError", code: error.code, message: error.message });
}

describe("a token is reviewed", () => {
  it("once, for the audience, and tells account and node", async () => {
    const { authenticate, calls } = scene();
    await expect(authenticate("token")).resolves.toEqual(account);
    expect(calls).toEqual([
      {
        method: "POST",
        path: "/apis/authentication.k8s.io/v1/tokenreviews",
        options: {
          body: {
            apiVersion: "authentication.k8s.io/v1",
            kind: "TokenReview",
            spec: { token: "token", audiences: ["aud"] },
          },
          timeoutMs: 8_000,
        },
      },
    ]);
  });

  it.each([
    [{ ...accepted, error: "token has\nexpired" }, "token has expired"],
    [{ authenticated: false }, "service account jwt not valid"],
    [{ user: accepted.user }, "service account jwt not valid"],
    [{ ...accepted, authenticated: "true" }, "service account jwt not valid"],
    [{ authenticated: true }, "unexpected username format"],
    [{ ...accepted, user: { username: "admin" } }, "unexpected username format"],
    [{ ...accepted, user: { username: "system:serviceaccount:ns:sa:x" } }, "unexpected username format"],
    [{ ...accepted, user: { username: "system:node:ns:sa" } }, "username returned is not a service account"],
    [
      { ...accepted, user: { username: "system:serviceaccount:other:sa" } },
      'incoming request from "other" namespace. Expected "ns"',
    ],
    [
      { ...accepted, user: { username: "system:serviceaccount:ns:other" } },
      'incoming request from "other" service account. Expected "sa"',
    ],
    [{ ...accepted, audiences: ["someone else"] }, 'the token is not for the audience "aud"'],
  ])("and refused with the reference's words: %j", async (status, text) => {
    const { authenticate, answer } = scene();
    answer(() => status);
    await expectRefusal(authenticate("token"), refusal(text));
  });

  it.each([[undefined], [[]]])("and taken where the answer says nothing of audiences: %j", async (audiences) => {
    const { authenticate, answer } = scene();
    answer(() => ({ ...accepted, audiences }));
    await expect(authenticate("token")).resolves.toEqual(account);
  });

  it.each([[undefined], [{}], [{ [nodeKey]: "node-7" }], [{ [nodeKey]: [] }]])(
    "and bound to no node if none is named: %j",
    async (extra) => {
      const { authenticate, answer } = scene();
      answer(() => ({ ...accepted, user: { ...accepted.user, extra } }));
      await expect(authenticate("token")).resolves.toEqual({ ...account, nodeName: undefined });
    },
  );

  it("but not if it is empty or over 16 KiB", async () => {
    const { authenticate, calls } = scene();
    await expectRefusal(authenticate(" "), refusal("the token is empty"));
    await expectRefusal(authenticate("x".repeat(16_385)), refusal("the token is longer than 16384 bytes"));
    expect(calls).toEqual([]);
    await authenticate("x".repeat(16_384));
    expect(calls).toHaveLength(1);
  });
});

describe("what kube-apiserver said is kept", () => {
  it("a yes for a minute", async () => {
    const { authenticate, calls, clock, answer } = scene();
    await authenticate("token");
    answer(() => ({ authenticated: false }));
    clock.advance(59_999);
    await expect(authenticate("token")).resolves.toEqual(account);
    await expectRefusal(authenticate("another"), refusal("service account jwt not valid"));
    expect(calls).toHaveLength(2);
    clock.advance(1);
    await expectRefusal(authenticate("token"), refusal("service account jwt not valid"));
    expect(calls).toHaveLength(3);
  });

  it("a yes no longer than the token lasts", async () => {
    const { authenticate, calls, clock } = scene();
    const token = jwt(epochMs / 1000 + 10);
    await authenticate(token);
    clock.advance(9_999);
    await authenticate(token);
    expect(calls).toHaveLength(1);
    clock.advance(1);
    // It has ended by this clock; kube-apiserver, which knows better, is asked each time from now on.
    await authenticate(token);
    await authenticate(token);
    expect(calls).toHaveLength(3);
  });

  it.each([
    ["opaque"],
    [jwt("soon")],
    [jwt(undefined)],
    ["h.!!!.s"],
    [`h.${Buffer.from("null").toString("base64url")}.s`],
  ])("a yes for a minute also if the token does not say when it ends: %s", async (token) => {
    const { authenticate, calls, clock } = scene();
    await authenticate(token);
    clock.advance(59_999);
    await authenticate(token);
    expect(calls).toHaveLength(1);
    clock.advance(1);
    await authenticate(token);
    expect(calls).toHaveLength(2);
  });

  it("a no for five seconds", async () => {
    const { authenticate, calls, clock, answer } = scene();
    answer(() => ({ authenticated: false }));
    await expectRefusal(authenticate("token"), refusal("service account jwt not valid"));
    answer(() => accepted);
    clock.advance(4_999);
    await expectRefusal(authenticate("token"), refusal("service account jwt not valid"));
    expect(calls).toHaveLength(1);
    clock.advance(1);
    await expect(authenticate("token")).resolves.toEqual(account);
  });

  it("for 10,000 tokens, of which the oldest goes first", async () => {
    const { authenticate, calls } = scene();
    for (let number = 0; number <= 10_000; number++) await authenticate(`token-${number}`);
    expect(calls).toHaveLength(10_001);
    await authenticate("token-1");
    await authenticate("token-10000");
    expect(calls).toHaveLength(10_001);
    await authenticate("token-0");
    expect(calls).toHaveLength(10_002);
  });
});

describe("no answer is no verdict", () => {
  it.each([
    ["a refusal of the call", () => new KubernetesError(403, "Forbidden", "no")],
    ["too many calls", () => new KubernetesError(429, "TooManyRequests", "later")],
    ["an outage", () => new KubernetesError(0, "", "unreachable")],
    ["an answer without a status", () => undefined],
    ["a status that is none", () => "fine"],
  ])("%s: UNAVAILABLE, and the next one asks again", async (_what, failing) => {
    const { authenticate, calls, answer } = scene();
    answer(failing);
    const text =
      "Failed to validate authentication token, err:Failed to authenticate request. err:the token cannot be reviewed now";
    const unavailable = new GrpcError(GrpcCode.UNAVAILABLE, text);
    await expectRefusal(authenticate("token"), unavailable);
    await expectRefusal(authenticate("token"), unavailable);
    expect(calls).toHaveLength(2);
    answer(() => accepted);
    await expect(authenticate("token")).resolves.toEqual(account);
  });

  it("and does not undo a yes that is kept", async () => {
    const { authenticate, answer } = scene();
    await authenticate("token");
    answer(() => new KubernetesError(0, "", "unreachable"));
    await expect(authenticate("token")).resolves.toEqual(account);
  });

  it("a defect of ours stays one", async () => {
    const { authenticate, answer } = scene();
    answer(() => new TypeError("oops"));
    await expect(authenticate("token")).rejects.toThrow(TypeError);
  });
});

describe("reviews under way", () => {
  function held() {
    const all = scene();
    const waiting: ((status: unknown) => void)[] = [];
    all.answer(() => new Promise((resolve) => waiting.push(resolve)));
    return { ...all, waiting };
  }

  it("of one token are one call, also if the first to ask leaves", async () => {
    const { authenticate, calls, waiting } = held();
    const reason = new Error("left");
    const leave = new AbortController();
    const first = authenticate("token", leave.signal);
    const others = Array.from({ length: 20 }, () => authenticate("token"));
    const another = authenticate("another");
    leave.abort(reason);
    await expect(first).rejects.toBe(reason);
    await expect(authenticate("third", leave.signal)).rejects.toBe(reason);
    await turn();
    expect(calls).toHaveLength(2);
    waiting[0]?.(accepted);
    await expect(Promise.all(others)).resolves.toEqual(others.map(() => account));
    waiting[1]?.({ authenticated: false });
    await expectRefusal(another, refusal("service account jwt not valid"));
  });

  it("fail for all who wait, and for nobody after them", async () => {
    const { authenticate, calls, waiting } = held();
    const both = [authenticate("token"), authenticate("token")];
    await turn();
    waiting[0]?.(new KubernetesError(500, "", "no"));
    for (const one of both) await expect(one).rejects.toMatchObject({ code: GrpcCode.UNAVAILABLE });
    const next = authenticate("token");
    await turn();
    expect(calls).toHaveLength(2);
    waiting[1]?.(accepted);
    await expect(next).resolves.toEqual(account);
  });
});

describe("an agent's header", () => {
  const metadata = (...values: string[]) => new Map([["authorization", values]]);

  it("brings the token as it stands", () => {
    expect(bearerToken(metadata("Bearer a.b.c"))).toBe("a.b.c");
  });

  it.each([
    [new Map(), "Authentication context was not found in metadata"],
    [new Map([["authentication", ["Bearer x"]]]), "Authentication context was not found in metadata"],
    [metadata("Bearer a", "Bearer b"), "too many (2) tokens are received"],
    [metadata("bearer a"), 'received token does not have "Bearer " prefix'],
    [metadata("a"), 'received token does not have "Bearer " prefix'],
  ])("is refused with the reference's words: %j", (headers, text) => {
    expect(() => bearerToken(headers)).toThrow(new GrpcError(GrpcCode.UNAUTHENTICATED, text));
  });
});

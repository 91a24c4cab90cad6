import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Lease, microTime } from "../../../shared/kubernetes/lease.ts";
import { type ApiAnswer, statusAnswer } from "../../support/fake-kube-api.ts";
import { leaseOf } from "../../support/lease-fleet.ts";
import { LeaseScene } from "../../support/lease-scene.ts";
import { serveLeases } from "../../support/serve-leases.ts";

let scene: LeaseScene;
beforeEach(async () => {
  scene = await LeaseScene.start();
});
afterEach(() => scene.stop());

const asked = (methods: readonly string[]) => scene.api.calls.filter(({ method }) => methods.includes(method)).length;

describe("an API that is no good", () => {
  /** kube-apiserver's way to say when it wants to be asked again. */
  const tooMany: ApiAnswer = (response) => {
    const body = {
      kind: "Status",
      status: "Failure",
      code: 429,
      reason: "TooManyRequests",
      message: "try again later",
    };
    response.writeHead(429, { "content-type": "application/json", "retry-after": "1" }).end(JSON.stringify(body));
  };

  it.each<[what: string, answer: ApiAnswer, told: string]>([
    ["says 403", statusAnswer(403, "Forbidden", "leases.coordination.k8s.io is forbidden"), "answered 403"],
    ["says 429 and when to come back", tooMany, "answered 429"],
    ["says 500", statusAnswer(500, "InternalError", "etcd has no leader"), "answered 500"],
    ["answers what is no JSON", (response) => response.end("<html>"), "not JSON"],
    ["hangs up", "close", "cannot be reached"],
  ])("and %s keeps nobody from linking, is told of once, and is good again when it is", async (_what, answer, told) => {
    scene.api.script = () => answer;
    const server = await scene.addServer(1);
    const agent = await scene.addAgent("a");
    await scene.agentsSee({ known: 1, linked: 1 });
    await scene.until("some calls of each half", () => asked(["GET"]) >= 6);
    const lines = (child: typeof agent, text: string) =>
      child.stderr.filter((line) => line.includes(text) && line.includes('"level":"warn"'));
    for (const [child, text] of [
      [server, "cannot renew this server's lease"],
      [server, "cannot remove expired leases"],
      [agent, "cannot follow the leases of servers"],
    ] as const) {
      await scene.until(text, () => lines(child, text).length > 0);
      expect(lines(child, text)).toEqual([expect.stringContaining(told)]);
    }
    serveLeases(scene.api, scene.leases);
    await scene.hasLease(1);
    await scene.until("the agent to follow", () => {
      scene.leases.bookmark();
      return agent.stderr.some((line) => line.includes("following the leases of servers again"));
    });
    await scene.agentsSee({ known: 1, linked: 1 });
  });

  it("and hangs is left alone after 5 s, and linking goes on meanwhile", async () => {
    scene.leases.hanging = true;
    const server = await scene.addServer(1);
    await scene.addAgent("a");
    await scene.agentsSee({ known: 1, linked: 1 });
    const told = () => server.stderr.filter((line) => line.includes("cannot renew this server's lease"));
    await scene.until("the server to notice", () => told().length > 0);
    expect(told()[0]).toContain("no answer from kube-apiserver within 5000 ms");
    scene.leases.hanging = false;
    await scene.hasLease(1);
  });
});

describe("a kubeconfig that is no good", () => {
  it.each([
    ["is broken", "{", /kubeconfig \S+: it is not YAML, at line 1, column \d+/],
    ["names no cluster", "current-context: a", /kubeconfig \S+: contexts has no "a"; it has none/],
  ])("and %s ends both halves at their start with one line", async (_what, text, complaint) => {
    writeFileSync(scene.workspace.path("kubeconfig"), text);
    await expect(scene.addServer(1)).rejects.toThrow(complaint);
    await expect(scene.addAgent("a")).rejects.toThrow(complaint);
  });
});

it.each([
  ["a time that is none", { renewTime: "yesterday" }],
  ["a time from long ago", { renewTime: "2001-02-03T04:05:06.000000Z" }],
  ["no time", {}],
])("a lease with %s counts for nobody, and the next server removes it", async (_what, time) => {
  const { leases } = scene;
  const put = (id: number, spec: NonNullable<Lease["spec"]>) =>
    leases.put({
      metadata: { name: leaseOf(id), labels: { "k8s-app": "konnectivity-server" } },
      spec: { holderIdentity: `server-${id}`, leaseDurationSeconds: 300, ...spec },
    });
  await scene.addServer(1);
  await scene.hasLease(1);
  await scene.addAgent("a");
  put(8, time);
  // The agent hears of this one after it has heard of the other.
  put(9, { renewTime: microTime(Date.now()) });
  await scene.agentsSee({ known: 2, linked: 1 });
  await scene.addServer(2);
  await scene.until("the broken lease to be removed", () => leases.lease(leaseOf(8)) === undefined);
  await scene.agentsSee({ known: 3, linked: 2 });
});

import { describe, expect, it } from "vitest";
import { LeaseServerCounter } from "../../../../agent/links/lease-counter.ts";
import { AgentMetrics } from "../../../../agent/metrics.ts";
import { KubernetesError } from "../../../../shared/kubernetes/api.ts";
import { type Lease, microTime } from "../../../../shared/kubernetes/lease.ts";
import { expose } from "../../../../shared/metrics/registry.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeLeaseApi } from "../../../support/fake-lease-api.ts";
import { LogLines } from "../../../support/log-lines.ts";
import { turn } from "../../../support/turn.ts";
import { familiesOf } from "../../shared/metrics/exposition.ts";

const startedAt = Date.parse("2026-01-02T03:04:05Z");
const selector = "k8s-app=konnectivity-server";
const labels = { "k8s-app": "konnectivity-server" };
const refused = () => new KubernetesError(0, "", "connect ECONNREFUSED");

function counting({ random = 0, selector: text = selector } = {}) {
  const api = new FakeLeaseApi();
  const clock = new FakeClock();
  const lines = new LogLines();
  const metrics = new AgentMetrics({ version: "0" });
  const wallClock = () => startedAt + clock.now();
  const counter = new LeaseServerCounter(
    { api, clock, random: () => random, wallClock, log: lines.log, metrics },
    { namespace: "kube-system", selector: text },
  );
  let growths = 0;
  counter.onGrown(() => {
    growths += 1;
  });
  return {
    api,
    clock,
    lines,
    /** But those that there is no valid lease. */
    outages: () => lines.of("warn").filter((line) => !line.startsWith("no server has")),
    counter,
    growths: () => growths,
    /** A server that renewed its lease so many seconds ago. */
    put: (id: string, agoSeconds = 0, other: Partial<Lease["metadata"]> = {}) =>
      api.put({
        metadata: { name: id, labels, ...other },
        spec: { leaseDurationSeconds: 30, renewTime: microTime(wallClock() - agoSeconds * 1000) },
      }),
    start: async () => {
      counter.start();
      await turn();
    },
    goOn: async (ms: number) => {
      clock.advance(ms);
      await turn();
    },
    calls: () => api.calls.splice(0).map(({ method }) => method),
    samples: async (family: string) => {
      const { samples = [] } =
        familiesOf(await expose(metrics.registry), "konnectivity_network_proxy_agent_")[family] ?? {};
      return samples.map(({ labels: { le: _le, ...rest }, value }) => [...Object.values(rest), value]);
    },
  };
}

describe("the count of leases", () => {
  it("is that of the valid ones of its labels and namespace", async () => {
    const { put, start, counter } = counting();
    put("a");
    put("b", 29);
    put("expired", 31);
    put("other", 0, { labels: { "k8s-app": "other" } });
    put("elsewhere", 0, { namespace: "default" });
    await start();
    expect(counter.count).toBe(2);
    await counter.stop();
  });

  it.each([
    ["before the API has answered", async () => {}],
    ["without leases", async ({ start }: ReturnType<typeof counting>) => start()],
    [
      "without a valid lease",
      async ({ start, put, api }: ReturnType<typeof counting>) => {
        put("expired", 31);
        api.put({ metadata: { name: "broken", labels }, spec: { leaseDurationSeconds: 30, renewTime: "soon" } });
        api.put({ metadata: { name: "endless", labels }, spec: { renewTime: microTime(startedAt) } });
        await start();
      },
    ],
    [
      "if the first list fails",
      async ({ start, put, api }: ReturnType<typeof counting>) => {
        for (const id of ["a", "b"]) put(id);
        api.failing = refused;
        await start();
      },
    ],
  ])("is 1 %s", async (_when, prepare) => {
    const all = counting();
    await prepare(all);
    expect(all.counter.count).toBe(1);
    await all.counter.stop();
  });

  it("of none is told once each time that there is none", async () => {
    const { api, lines, put, start, counter } = counting();
    const warnings = () => lines.of("warn").length;
    await start();
    put("expired", 31);
    await turn();
    expect(warnings()).toBe(1);
    put("a");
    await turn();
    api.remove("a");
    await turn();
    expect([warnings(), counter.count]).toEqual([2, 1]);
    expect(lines.of("warn").at(-1)).toMatch(/--enable-lease-controller.*--lease-namespace.*--lease-label-selector/);
    await counter.stop();
  });

  it("follows what is added, renewed and deleted, without another list", async () => {
    const { api, put, start, goOn, counter, calls } = counting();
    put("a");
    await start();
    put("b");
    await turn();
    expect(counter.count).toBe(2);
    await goOn(20_000);
    for (const id of ["a", "b"]) put(id);
    await goOn(20_000);
    put("c");
    await turn();
    expect(counter.count).toBe(3);
    api.remove("b");
    await turn();
    expect(counter.count).toBe(2);
    expect(calls()).toEqual(["GET", "WATCH"]);
    await counter.stop();
  });

  it("loses a server that no longer renews while others do", async () => {
    const { put, start, goOn, counter } = counting();
    for (const id of ["a", "b"]) put(id);
    await start();
    for (const expected of [2, 1]) {
      await goOn(15_000);
      put("a");
      await turn();
      expect(counter.count).toBe(expected);
    }
    await counter.stop();
  });

  it("loses servers that no longer renew when the API speaks of something else", async () => {
    const { api, put, start, goOn, counter } = counting();
    for (const id of ["a", "b"]) put(id);
    await start();
    await goOn(31_000);
    expect(counter.count).toBe(2);
    api.bookmark();
    await turn();
    expect(counter.count).toBe(1);
    await counter.stop();
  });

  it("tells of growth alone", async () => {
    const { api, put, start, counter, growths } = counting();
    put("a");
    await start();
    expect(growths()).toBe(0);
    put("b");
    await turn();
    put("b");
    await turn();
    expect(growths()).toBe(1);
    api.remove("a");
    await turn();
    expect(growths()).toBe(1);
    put("c");
    await turn();
    expect(growths()).toBe(2);
    await counter.stop();
  });

  it("is of all leases with an empty selector", async () => {
    const { put, start, counter, api } = counting({ selector: "" });
    put("a");
    put("other", 0, { labels: {} });
    await start();
    expect(counter.count).toBe(2);
    expect(api.calls[0]?.query).toEqual({ resourceVersion: "0" });
    await counter.stop();
  });
});

describe("what the API is asked for", () => {
  it("is a list from its cache, then a watch from there on, both with the selector", async () => {
    const { api, put, start, counter } = counting({ random: 0.5 });
    const { metadata } = put("a");
    await start();
    expect(api.calls.map(({ method, path, query }) => [method, path, query])).toEqual([
      [
        "GET",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
        { labelSelector: selector, resourceVersion: "0" },
      ],
      [
        "WATCH",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
        { labelSelector: selector, timeoutSeconds: "450", resourceVersion: metadata.resourceVersion },
      ],
    ]);
    await counter.stop();
  });

  it("is a new list a second after a watch has ended in good order", async () => {
    const { api, put, start, goOn, counter, calls, outages } = counting();
    await start();
    await goOn(30_000);
    api.endWatches();
    await turn();
    put("a");
    put("b");
    await goOn(999);
    expect(calls()).toEqual(["GET", "WATCH"]);
    await goOn(1);
    expect([calls(), counter.count, outages()]).toEqual([["GET", "WATCH"], 2, []]);
    await counter.stop();
  });

  it("is a list past its cache when the watch's version is too old, and that is no outage", async () => {
    const { api, put, start, goOn, counter, outages } = counting();
    api.failing = ({ method }) => {
      if (method === "WATCH") {
        api.failing = () => undefined;
        api.forget();
      }
      return undefined;
    };
    await start();
    put("a");
    put("b");
    api.calls.splice(0);
    await goOn(1_000);
    expect(api.calls.map(({ method, query }) => [method, query.resourceVersion])).toEqual([
      ["GET", undefined],
      ["WATCH", "103"],
    ]);
    expect([counter.count, outages()]).toEqual([2, []]);
    api.calls.splice(0);
    api.endWatches(new KubernetesError(410, "Expired", "too old"));
    await turn();
    await goOn(1_500);
    api.endWatches();
    await turn();
    await goOn(2_250);
    expect(api.calls.filter(({ method }) => method === "GET").map(({ query }) => query.resourceVersion)).toEqual([
      undefined,
      "0",
    ]);
    await counter.stop();
  });

  it("is a new list when nothing was heard for 75 s, which is no outage either", async () => {
    const { api, start, goOn, counter, calls, outages } = counting();
    await start();
    await goOn(74_000);
    api.bookmark();
    await turn();
    await goOn(74_999);
    expect(calls()).toEqual(["GET", "WATCH"]);
    await goOn(1);
    await goOn(1_000);
    expect([calls(), outages(), api.watchCount]).toEqual([["GET", "WATCH"], [], 1]);
    await counter.stop();
  });
});

describe("an API outage", () => {
  it("leaves the last count as it was, however long it lasts, and is told once", async () => {
    const { api, put, start, goOn, counter, lines } = counting();
    for (const id of ["a", "b", "c"]) put(id);
    await start();
    api.failing = refused;
    api.endWatches(refused());
    for (let second = 0; second < 120; second++) await goOn(1_000);
    expect([counter.count, lines.of("warn")]).toEqual([
      3,
      ["cannot follow the leases of servers; the last count stands"],
    ]);
    api.failing = () => undefined;
    for (let second = 0; second < 33; second++) {
      for (const id of ["a", "b"]) put(id);
      await goOn(1_000);
    }
    expect(counter.count).toBe(2);
    put("a");
    await turn();
    expect(lines.of("info").at(-1)).toBe("following the leases of servers again");
    await counter.stop();
  });

  it("in which the watch hangs instead of breaking leaves it as well", async () => {
    const { api, put, start, goOn, counter } = counting();
    for (const id of ["a", "b"]) put(id);
    await start();
    api.hanging = true;
    for (let second = 0; second < 120; second++) await goOn(1_000);
    expect(counter.count).toBe(2);
    await counter.stop();
  });

  it("is met with waits that grow from 1 s to 30 s, and from 1 s again after a watch that lasted", async () => {
    const { api, start, goOn, counter, calls, clock } = counting();
    api.failing = refused;
    await start();
    let waitMs = 1_000;
    for (let attempt = 0; attempt < 12; attempt++) {
      expect(calls()).toEqual(["GET"]);
      await goOn(waitMs - 1);
      expect(calls()).toEqual([]);
      await goOn(1);
      waitMs = Math.min(waitMs * 1.5, 30_000);
    }
    expect(waitMs).toBe(30_000);
    calls();
    api.failing = () => undefined;
    await goOn(30_000);
    await goOn(40_000);
    api.endWatches(refused());
    await turn();
    calls();
    await goOn(1_000);
    expect(calls()).toEqual(["GET", "WATCH"]);
    await counter.stop();
    expect(clock.pending).toBe(0);
  });

  it("of watches alone is told once, and makes lists of them", async () => {
    const { api, put, start, goOn, counter, outages } = counting();
    put("a");
    api.failing = ({ method }) => (method === "WATCH" ? new KubernetesError(403, "Forbidden", "no") : undefined);
    await start();
    put("b");
    for (let second = 0; second < 60; second++) await goOn(1_000);
    put("a");
    put("b");
    put("c");
    for (let second = 0; second < 30; second++) await goOn(1_000);
    expect([counter.count, outages().length]).toEqual([3, 1]);
    await counter.stop();
  });
});

describe("its metrics", () => {
  it("have lists and watches apart, a watch once however it ends", async () => {
    const { api, put, start, goOn, counter, samples } = counting();
    await start();
    expect(await samples("lease_lists_total")).toEqual([["200", "", 1]]);
    expect(await samples("lease_watches_total")).toEqual([]);
    put("a");
    await turn();
    expect(await samples("lease_watches_total")).toEqual([["200", "", 1]]);
    api.endWatches(new KubernetesError(500, "InternalError", "no"));
    await turn();
    await goOn(1_000);
    api.endWatches();
    await turn();
    api.failing = ({ method }) => (method === "WATCH" ? new KubernetesError(429, "TooManyRequests", "no") : refused());
    await goOn(1_500);
    api.failing = ({ method }) => (method === "WATCH" ? new KubernetesError(429, "TooManyRequests", "no") : undefined);
    await goOn(2_250);
    expect(await samples("lease_watches_total")).toEqual([
      ["200", "", 2],
      ["429", "TooManyRequests", 1],
    ]);
    expect(await samples("lease_lists_total")).toEqual([["200", "", 3]]);
    expect((await samples("lease_list_latency_seconds")).at(-1)).toEqual(["200", 3]);
    await counter.stop();
  });
});

describe("stop", () => {
  it.each([
    ["it lists", true],
    ["it watches", false],
  ])("while %s ends that, and the loop", async (_when, hanging) => {
    const { api, start, counter, clock, outages } = counting();
    api.hanging = hanging;
    await start();
    await counter.stop();
    await counter.stop();
    expect([clock.pending, api.watchCount, outages()]).toEqual([0, 0, []]);
  });
});

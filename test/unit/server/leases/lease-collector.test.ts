import { describe, expect, it } from "vitest";
import { LeaseCollector } from "../../../../server/leases/lease-collector.ts";
import { ServerMetrics } from "../../../../server/metrics.ts";
import { KubernetesError } from "../../../../shared/kubernetes/api.ts";
import { type Lease, microTime } from "../../../../shared/kubernetes/lease.ts";
import { expose } from "../../../../shared/metrics/registry.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeLeaseApi } from "../../../support/fake-lease-api.ts";
import { LogLines } from "../../../support/log-lines.ts";
import { turn } from "../../../support/turn.ts";
import { familiesOf } from "../../shared/metrics/exposition.ts";

const startedAt = Date.parse("2026-01-02T03:04:05Z");
const labels = { "k8s-app": "konnectivity-server" };

function collecting() {
  const api = new FakeLeaseApi();
  const clock = new FakeClock();
  const lines = new LogLines();
  const metrics = new ServerMetrics({ version: "0" });
  const wallClock = () => startedAt + clock.now();
  const collector = new LeaseCollector(
    { api, clock, random: () => 0, wallClock, log: lines.log, metrics: metrics.leases },
    { serverId: "own", namespace: "kube-system", labels },
  );
  return {
    api,
    clock,
    lines,
    collector,
    /** A lease of a server that renewed it so many seconds ago. */
    put: (id: string, agoSeconds: number, other: Partial<Lease["metadata"]> = {}) =>
      api.put({
        metadata: { name: `konnectivity-proxy-server-${id}`, labels, ...other },
        spec: { leaseDurationSeconds: 30, renewTime: microTime(wallClock() - agoSeconds * 1000) },
      }),
    start: async () => {
      collector.start();
      await turn();
    },
    goOn: async (ms: number) => {
      clock.advance(ms);
      await turn();
    },
    left: () => api.leases.map(({ metadata }) => metadata.name.replace("konnectivity-proxy-server-", "")),
    samples: async (family: string) => {
      const { samples = [] } =
        familiesOf(await expose(metrics.registry), "konnectivity_network_proxy_server_")[family] ?? {};
      return samples.map(({ labels: { le: _le, ...rest }, value }) => [...Object.values(rest), value]);
    },
  };
}

describe("the leases that are removed", () => {
  it("are the expired ones, whosever, of its labels and namespace; but never its own", async () => {
    const { put, start, left, collector, samples, lines } = collecting();
    put("live", 29);
    put("dead", 31);
    put("own", 31);
    put("other", 31, { labels: { "k8s-app": "other" } });
    put("elsewhere", 31, { namespace: "default" });
    await start();
    expect(left()).toEqual(["live", "own", "other", "elsewhere"]);
    expect(await samples("culled_leases_count")).toEqual([[1]]);
    expect(await samples("lease_list_total")).toEqual([["200", "", 1]]);
    expect(await samples("lease_delete_total")).toEqual([["200", "", 1]]);
    expect(lines.of("info")).toEqual(["removed the expired lease of a server"]);
    await collector.stop();
  });

  it("are those with a broken time or without a duration as well", async () => {
    const { api, put, start, left, collector } = collecting();
    put("live", 0);
    api.put({ metadata: { name: "x", labels }, spec: { leaseDurationSeconds: 30, renewTime: "soon" } });
    api.put({ metadata: { name: "y", labels }, spec: { renewTime: microTime(startedAt) } });
    api.put({ metadata: { name: "z", labels } });
    await start();
    expect(left()).toEqual(["live"]);
    await collector.stop();
  });

  it("are looked for each 15 s", async () => {
    const { put, start, goOn, left, collector, samples } = collecting();
    put("a", 10);
    await start();
    await goOn(14_999);
    expect(await samples("lease_list_total")).toEqual([["200", "", 1]]);
    await goOn(1);
    expect([await samples("lease_list_total"), left()]).toEqual([[["200", "", 2]], ["a"]]);
    await goOn(15_000);
    expect(left()).toEqual([]);
    await collector.stop();
  });

  it("are none where the API has no list but null", async () => {
    const { api, start, collector, lines } = collecting();
    api.request = async () => ({ metadata: { resourceVersion: "1" }, items: null }) as never;
    await start();
    expect(lines.of("warn")).toEqual([]);
    await collector.stop();
  });
});

describe("a lease that changes meanwhile", () => {
  it("stays if its holder has renewed it, and is nobody's failure", async () => {
    const { api, put, start, left, collector, samples, lines } = collecting();
    put("late", 31);
    api.failing = ({ method }) => {
      if (method === "DELETE") put("late", 0);
      return undefined;
    };
    await start();
    expect(left()).toEqual(["late"]);
    expect(await samples("lease_delete_total")).toEqual([["409", "Conflict", 1]]);
    expect([await samples("culled_leases_count"), lines.of("warn")]).toEqual([[[0]], []]);
    await collector.stop();
  });

  it("may be gone by another server's hand", async () => {
    const { api, put, start, collector, samples, lines } = collecting();
    put("dead", 31);
    api.failing = ({ method }) => {
      if (method === "DELETE") api.remove("konnectivity-proxy-server-dead");
      return undefined;
    };
    await start();
    expect(await samples("lease_delete_total")).toEqual([["404", "NotFound", 1]]);
    expect([await samples("culled_leases_count"), lines.of("warn")]).toEqual([[[0]], []]);
    await collector.stop();
  });
});

describe("an API that refuses", () => {
  it("one deletion does not keep it from the others", async () => {
    const { api, put, start, left, collector, lines, samples } = collecting();
    put("a", 31);
    put("b", 31);
    api.failing = ({ method, path }) =>
      method === "DELETE" && path.endsWith("-a") ? new KubernetesError(403, "Forbidden", "no") : undefined;
    await start();
    expect(left()).toEqual(["a"]);
    expect(lines.of("warn")).toEqual(["cannot remove expired leases"]);
    expect(await samples("lease_delete_total")).toEqual([
      ["403", "Forbidden", 1],
      ["200", "", 1],
    ]);
    await collector.stop();
  });

  it("or is away is told once, counted where it answered, and asked again", async () => {
    const { api, put, start, goOn, left, collector, lines, samples } = collecting();
    put("dead", 31);
    api.failing = () => new KubernetesError(500, "InternalError", "no");
    await start();
    api.failing = () => new KubernetesError(0, "", "refused");
    await goOn(15_000);
    expect(lines.of("warn")).toEqual(["cannot remove expired leases"]);
    expect(await samples("lease_list_total")).toEqual([["500", "InternalError", 1]]);
    api.failing = () => undefined;
    await goOn(15_000);
    expect([left(), lines.of("info")]).toEqual([
      [],
      ["removed the expired lease of a server", "expired leases are removed again"],
    ]);
    await collector.stop();
  });

  it("to answer in mid-work is not asked for every single lease", async () => {
    const { api, put, start, collector } = collecting();
    for (const id of ["a", "b", "c"]) put(id, 31);
    api.failing = ({ method }) => (method === "DELETE" ? new KubernetesError(0, "", "timed out") : undefined);
    await start();
    expect(api.calls.map(({ method }) => method)).toEqual(["GET", "DELETE"]);
    await collector.stop();
  });
});

describe("stop", () => {
  it("ends the call on its way and the wait", async () => {
    const { api, start, collector, clock, lines } = collecting();
    api.hanging = true;
    await start();
    await collector.stop();
    await collector.stop();
    expect([clock.pending, lines.of("warn")]).toEqual([0, []]);
  });
});

it("asks for its label's leases only, and deletes the version that it has seen only", async () => {
  const { api, put, start, collector } = collecting();
  const dead = put("dead", 31);
  await start();
  expect(api.calls.map(({ query, body }) => [query, body])).toEqual([
    [{ labelSelector: "k8s-app=konnectivity-server" }, undefined],
    [
      {},
      { apiVersion: "v1", kind: "DeleteOptions", preconditions: { resourceVersion: dead.metadata.resourceVersion } },
    ],
  ]);
  await collector.stop();
});

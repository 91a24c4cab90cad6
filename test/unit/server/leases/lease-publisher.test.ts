import { describe, expect, it } from "vitest";
import { LeasePublisher } from "../../../../server/leases/lease-publisher.ts";
import { KubernetesError } from "../../../../shared/kubernetes/api.ts";
import { isLeaseValid, leasePath } from "../../../../shared/kubernetes/lease.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeLeaseApi } from "../../../support/fake-lease-api.ts";
import { LogLines } from "../../../support/log-lines.ts";
import { turn } from "../../../support/turn.ts";

const startedAt = Date.parse("2026-01-02T03:04:05Z");
const name = "konnectivity-proxy-server-s1";
const path = leasePath("kube-system", name);
const outage = () => new KubernetesError(0, "", "connect ECONNREFUSED");

function published({ random = 0, api = new FakeLeaseApi() } = {}) {
  const clock = new FakeClock();
  const lines = new LogLines();
  const wallClock = () => startedAt + clock.now();
  const publisher = new LeasePublisher(
    { api, clock, random: () => random, wallClock, log: lines.log },
    { serverId: "s1", namespace: "kube-system", labels: { "k8s-app": "konnectivity-server", x: "y" } },
  );
  return {
    api,
    clock,
    lines,
    publisher,
    start: async () => {
      publisher.start();
      await turn();
    },
    goOn: async (ms: number) => {
      clock.advance(ms);
      await turn();
    },
    methods: () => api.calls.splice(0).map(({ method }) => method),
    valid: () => {
      const lease = api.lease(name);
      return lease !== undefined && isLeaseValid(lease, wallClock());
    },
  };
}

describe("this server's lease", () => {
  it("is made if there is none", async () => {
    const { api, start, methods, publisher, clock } = published();
    await start();
    expect(methods()).toEqual(["GET", "POST"]);
    expect(api.leases).toEqual([
      {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: {
          name,
          namespace: "kube-system",
          resourceVersion: expect.any(String),
          labels: { "k8s-app": "konnectivity-server", x: "y" },
        },
        spec: { holderIdentity: "s1", leaseDurationSeconds: 30, renewTime: "2026-01-02T03:04:05.000000Z" },
      },
    ]);
    await publisher.stop();
    expect(clock.pending).toBe(0);
  });

  it("is taken over from an earlier life, its labels replaced", async () => {
    const { api, start, methods, publisher } = published();
    api.put({
      metadata: { name, labels: { old: "1" } },
      spec: { holderIdentity: "s1", leaseDurationSeconds: 1, acquireTime: "2020-01-01T00:00:00.000000Z" },
    });
    await start();
    expect(methods()).toEqual(["GET", "PUT"]);
    expect(api.lease(name)?.metadata.labels).toEqual({ "k8s-app": "konnectivity-server", x: "y" });
    expect(api.lease(name)?.spec).toEqual({
      holderIdentity: "s1",
      leaseDurationSeconds: 30,
      renewTime: "2026-01-02T03:04:05.000000Z",
    });
    await publisher.stop();
  });

  it.each([
    [0, 15_000],
    [0.5, 15_300],
  ])("is renewed without reading it, with jitter %d after %d ms", async (random, intervalMs) => {
    const { api, start, goOn, methods, publisher } = published({ random });
    await start();
    methods();
    for (const round of [1, 2]) {
      await goOn(intervalMs - 1);
      expect(methods()).toEqual([]);
      await goOn(1);
      expect(methods()).toEqual(["PUT"]);
      expect(Date.parse(api.lease(name)?.spec?.renewTime ?? "")).toBe(startedAt + round * intervalMs);
    }
    await publisher.stop();
  });

  it("is made anew at once if somebody removed it", async () => {
    const { api, start, goOn, methods, publisher, valid, lines } = published();
    await start();
    methods();
    api.remove(name);
    await goOn(15_000);
    expect(methods()).toEqual(["PUT", "GET", "POST"]);
    expect(valid()).toBe(true);
    expect(lines.of("warn")).toEqual([]);
    await publisher.stop();
  });

  it("is read again at once if somebody changed it, which is told once: two servers may have one id", async () => {
    const { api, start, goOn, methods, publisher, valid, lines } = published();
    await start();
    for (const _round of [1, 2]) {
      methods();
      api.put({ ...(api.lease(name) ?? { metadata: { name } }) });
      await goOn(15_000);
      expect(methods()).toEqual(["PUT", "GET", "PUT"]);
      expect(valid()).toBe(true);
    }
    expect(lines.of("warn")).toEqual(["somebody else writes this server's lease: is its --server-id taken?"]);
    await publisher.stop();
  });

  it("is not fought for more than five times at once", async () => {
    const { api, start, goOn, methods, publisher } = published();
    await start();
    methods();
    api.failing = ({ method }) => (method === "PUT" ? new KubernetesError(409, "Conflict", "again") : undefined);
    await goOn(15_000);
    const made = methods();
    expect(made.filter((method) => method === "PUT").length).toBe(5);
    expect(made.length).toBe(9);
    await publisher.stop();
  });

  it("can be shared by two servers of one id, and comes back when one of them leaves", async () => {
    const api = new FakeLeaseApi();
    const one = published({ api });
    const other = published({ api });
    await one.start();
    await other.start();
    await other.publisher.stop();
    expect(api.leases).toEqual([]);
    await one.goOn(15_000);
    expect(one.valid()).toBe(true);
    await one.publisher.stop();
    expect(api.leases).toEqual([]);
  });
});

describe("an API outage", () => {
  it("is met with waits that double from 200 ms to 7 s, and told once", async () => {
    const { api, start, goOn, methods, publisher, lines, valid } = published();
    api.failing = outage;
    await start();
    expect(methods()).toEqual(["GET"]);
    for (const waitMs of [200, 400, 800, 1_600, 3_200, 6_400, 7_000, 7_000]) {
      await goOn(waitMs - 1);
      expect(methods()).toEqual([]);
      await goOn(1);
      expect(methods()).toEqual(["GET"]);
    }
    expect(lines.of("warn")).toEqual(["cannot renew this server's lease"]);
    api.failing = () => undefined;
    await goOn(7_000);
    expect(valid()).toBe(true);
    expect(lines.of("info")).toEqual(["this server's lease is renewed again"]);
    methods();
    await goOn(15_000);
    expect(methods()).toEqual(["PUT"]);
    await publisher.stop();
  });

  it("in which a write was done although its answer was lost leads to no rival", async () => {
    const { api, start, goOn, methods, publisher, lines } = published();
    await start();
    methods();
    api.failing = ({ method }) => {
      if (method !== "PUT") return undefined;
      api.failing = () => undefined;
      api.put({ ...(api.lease(name) ?? { metadata: { name } }) });
      return outage();
    };
    await goOn(15_000);
    await goOn(200);
    expect(methods()).toEqual(["PUT", "GET", "PUT"]);
    expect(lines.of("warn")).toEqual(["cannot renew this server's lease"]);
    await publisher.stop();
  });

  it.each([403, 422, 429, 500, 503])("of status %d is no different", async (status) => {
    const { api, start, goOn, publisher, valid } = published();
    api.failing = () => new KubernetesError(status, "Some", "no");
    await start();
    api.failing = () => undefined;
    await goOn(200);
    expect(valid()).toBe(true);
    await publisher.stop();
  });
});

describe("stop", () => {
  it("deletes the lease, once, and writes it no more", async () => {
    const { api, start, goOn, methods, publisher, clock } = published();
    await start();
    methods();
    await Promise.all([publisher.stop(), publisher.stop()]);
    expect(api.leases).toEqual([]);
    await goOn(60_000);
    expect(methods()).toEqual(["DELETE"]);
    expect(clock.pending).toBe(0);
  });

  it("lets a write on its way finish first, so that it does not bring the lease back", async () => {
    const { api, start, goOn, methods, publisher } = published();
    await start();
    methods();
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const request = api.request.bind(api);
    api.request = async (...args) => {
      if (args[0] === "PUT") await finished;
      return request(...args) as never;
    };
    await goOn(15_000);
    const stopped = publisher.stop();
    await turn();
    expect(methods()).toEqual([]);
    finish();
    await stopped;
    expect(methods()).toEqual(["PUT", "DELETE"]);
    expect(api.leases).toEqual([]);
  });

  it("waits for a hanging write for one second only", async () => {
    const { api, start, goOn, methods, publisher, clock } = published();
    await start();
    methods();
    api.hanging = true;
    await goOn(15_000);
    const stopped = publisher.stop();
    await goOn(999);
    expect(methods()).toEqual(["PUT"]);
    api.hanging = false;
    await goOn(1);
    await stopped;
    expect(methods()).toEqual(["DELETE"]);
    expect(clock.pending).toBe(0);
  });

  it.each([
    [404, []],
    [500, ["cannot delete this server's lease; it runs out by itself"]],
    [0, ["cannot delete this server's lease; it runs out by itself"]],
  ])("does not try again when the deletion fails with %d", async (status, warnings) => {
    const { api, start, methods, publisher, lines } = published();
    await start();
    methods();
    api.failing = () => new KubernetesError(status, "", "no");
    await publisher.stop();
    expect(methods()).toEqual(["DELETE"]);
    expect(lines.of("warn")).toEqual(warnings);
  });

  it("asks that the deletion take three seconds at most", async () => {
    const { api, start, publisher } = published();
    await start();
    const limits: unknown[] = [];
    const request = api.request.bind(api);
    api.request = async (...args) => {
      limits.push([args[0], args[1], args[2]?.timeoutMs]);
      return request(...args) as never;
    };
    await publisher.stop();
    expect(limits).toEqual([["DELETE", path, 3_000]]);
  });

  it("before start calls nothing", async () => {
    const { methods, publisher } = published();
    await publisher.stop();
    expect(methods()).toEqual([]);
  });
});

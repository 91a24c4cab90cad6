import { afterEach, beforeEach, expect, it } from "vitest";
import { microTime } from "../../../shared/kubernetes/lease.ts";
import { leaseOf } from "../../support/lease-fleet.ts";
import { LeaseScene } from "../../support/lease-scene.ts";
import { within } from "../../support/within.ts";

let scene: LeaseScene;
beforeEach(async () => {
  scene = await LeaseScene.start();
});
afterEach(() => scene.stop());

it("agents find the servers by their leases, one that leaves, one that dies and one that comes", async () => {
  const { leases, servers } = scene;
  for (const id of [1, 2, 3]) {
    await scene.addServer(id);
    await scene.hasLease(id);
  }
  await scene.addAgent("a");
  await scene.addAgent("b");
  await scene.agentsSee({ known: 3, linked: 3 });

  expect(await scene.endServer(1, "SIGTERM")).toMatchObject({ code: 0 });
  expect(leases.lease(leaseOf(1))).toBeUndefined();
  await scene.agentsSee({ known: 2, linked: 2 });

  await scene.endServer(2, "SIGKILL");
  // As if its 30 s were over.
  leases.put({
    metadata: { name: leaseOf(2), labels: { "k8s-app": "konnectivity-server" } },
    spec: { leaseDurationSeconds: 30, renewTime: microTime(Date.now() - 31_000) },
  });
  await scene.agentsSee({ known: 1, linked: 1 });

  await scene.addServer(4);
  await scene.agentsSee({ known: 2, linked: 2 });
  await scene.until("the lease of server 2 to be removed", () => leases.lease(leaseOf(2)) === undefined);
  await scene.until("one of the two to have counted that", async () => {
    const culled = await Promise.all([...servers.values()].map((server) => server.metric("culled_leases_count")));
    return culled.reduce((sum, count) => sum + count, 0) === 1;
  });
});

it("an API outage costs nobody a link, is logged once, and is over when the API is back", async () => {
  const { leases } = scene;
  for (const id of [1, 2]) {
    await scene.addServer(id);
    await scene.hasLease(id);
  }
  const agent = await scene.addAgent("a");
  await scene.agentsSee({ known: 2, linked: 2 });

  await scene.stopApi();
  const told = () => agent.stderr.filter((line) => line.includes("cannot follow the leases of servers"));
  await scene.until("the agent to notice", () => told().length > 0);
  // A server dies meanwhile and comes back, and the agent knows that there should be two.
  await scene.endServer(2, "SIGKILL");
  await scene.agentsSee({ known: 2, linked: 1 });
  const again = await scene.addServer(2);
  await scene.agentsSee({ known: 2, linked: 2 });
  await scene.until("the server to notice", () => again.stderr.some((line) => line.includes("cannot renew")));

  const version = () => leases.lease(leaseOf(2))?.metadata.resourceVersion;
  const before = version();
  await scene.restartApi();
  await scene.until("a renewed lease", () => version() !== before);
  await scene.until("the agent to follow again", () => {
    leases.bookmark();
    return agent.stderr.some((line) => line.includes("following the leases of servers again"));
  });
  expect(told().filter((line) => line.includes('"level":"warn"')).length).toBe(1);
  await scene.agentsSee({ known: 2, linked: 2 });
});

it("an API that is away at the start holds neither half up, and a server does not wait for it at the end", async () => {
  await scene.stopApi();
  await scene.addServer(1);
  const agent = await scene.addAgent("a");
  expect((await agent.get("/healthz")).status).toBe(200);
  await scene.agentsSee({ known: 1, linked: 1 });
  expect(await scene.endServer(1, "SIGTERM")).toMatchObject({ code: 0 });
});

it("an API that hangs at the end is waited for, but not past a second signal", async () => {
  const { leases } = scene;
  const server = await scene.addServer(1);
  await scene.hasLease(1);
  leases.hanging = true;
  server.kill("SIGTERM");
  await scene.until("the deletion of its lease to be asked for", () =>
    leases.calls.some(({ method }) => method === "DELETE"),
  );
  server.kill("SIGTERM");
  // The deletion itself would be given up after 3 s.
  expect(await within(2_000, "the server's exit", server.exited)).toEqual({ code: 1, signal: null });
});

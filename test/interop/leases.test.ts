import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { isLeaseValid } from "../../shared/kubernetes/lease.ts";
import { LeaseScene, leaseOf } from "../support/lease-scene.ts";
import { buildReference } from "../support/processes.ts";

const reference = "reference-v0.36.0";

let scene: LeaseScene;
beforeAll(async () => {
  for (const half of ["server", "agent"] as const) await buildReference(reference, half);
});
beforeEach(async () => {
  scene = await LeaseScene.start();
});
afterEach(() => scene.stop());

it("servers of both kinds publish leases by which agents of both kinds find them all, and lose one that leaves", async () => {
  const { leases } = scene;
  for (const [id, implementation] of [
    [1, "hawser"],
    [2, reference],
    [3, "hawser"],
  ] as const) {
    await scene.addServer(id, implementation);
    await scene.hasLease(id);
  }
  for (const id of [1, 2, 3]) {
    const lease = leases.lease(leaseOf(id));
    expect(lease).toMatchObject({
      metadata: { labels: { "k8s-app": "konnectivity-server" } },
      spec: {
        holderIdentity: `server-${id}`,
        leaseDurationSeconds: 30,
        renewTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      },
    });
    expect(lease !== undefined && isLeaseValid(lease, Date.now())).toBe(true);
  }
  await scene.addAgent("ours");
  await scene.addAgent("theirs", reference);
  await scene.agentsSee({ known: 3, linked: 3 });

  expect(await scene.endServer(1, "SIGTERM")).toMatchObject({ code: 0 });
  await scene.agentsSee({ known: 2, linked: 2 });
  await scene.addServer(4);
  await scene.agentsSee({ known: 3, linked: 3 });
});

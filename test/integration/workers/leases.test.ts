import { afterEach, beforeEach, expect, it } from "vitest";
import { LeaseScene } from "../../support/lease-scene.ts";
import { workerPid, workerReplaced } from "../../support/workers.ts";

let scene: LeaseScene;
beforeEach(async () => {
  scene = await LeaseScene.start(["--workers=2"]);
});
afterEach(() => scene.stop());

const leaseOf = (server: number, worker: number) => `konnectivity-proxy-server-server-${server}-w${worker}`;

it("each worker has a lease: agents count and meet all of two servers, also after one has died, and when a server has gone", async () => {
  const { leases } = scene;
  const workers = [1, 2].flatMap((server) => [leaseOf(server, 1), leaseOf(server, 2)]);
  for (const id of [1, 2]) await scene.addServer(id);
  for (const name of workers) await scene.until(`the lease ${name}`, () => leases.lease(name));
  await scene.addAgent("a");
  await scene.agentsSee({ known: 4, linked: 4 });

  const server = scene.server(1);
  const pid = workerPid(server, 2);
  process.kill(pid, "SIGKILL");
  await workerReplaced(server, 2, pid);
  await scene.agentsSee({ known: 4, linked: 4 });
  const all = () => workers.filter((name) => leases.lease(name) !== undefined);
  expect(all()).toEqual(workers);

  expect(await scene.endServer(1, "SIGTERM")).toMatchObject({ code: 0 });
  expect(all()).toEqual([leaseOf(2, 1), leaseOf(2, 2)]);
  await scene.agentsSee({ known: 2, linked: 2 });
});

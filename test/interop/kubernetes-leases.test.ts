import { afterAll, beforeAll, expect, it } from "vitest";
import {
  isLeaseValid,
  type Lease,
  type LeaseList,
  leasePath,
  leasesPath,
  microTime,
} from "../../shared/kubernetes/lease.ts";
import {
  agentAccount,
  agentNamespace,
  allowLeaseCounting,
  allowLeaseKeeping,
  serverUser,
} from "../support/konnectivity-accounts.ts";
import { type KubeApi, startKubeApi } from "../support/kube-api.ts";
import { LeaseFleet, leaseOf } from "../support/lease-fleet.ts";
import { buildReference, type ProxyProcess } from "../support/processes.ts";
import { RoundRobin } from "../support/round-robin.ts";
import { inSoak } from "../support/soak.ts";
import { RunningTransfers } from "../support/transfers.ts";
import { Workspace } from "../support/workspace.ts";

const reference = "reference-v0.36.0";
const outageMs = inSoak(30_000, 60_000);
/** A lease that nobody renews runs out in 30 s, and is collected at most 15.6 s later. */
const collectedWithinMs = 60_000;
/** Little enough for many of them beside eight processes. */
const pace = { leastBytes: 4 * 1024 * 1024, breathMs: 100 };

let workspace: Workspace;
let api: KubeApi;
let fleet: LeaseFleet;
beforeAll(async () => {
  workspace = new Workspace();
  api = await startKubeApi(workspace);
  await allowLeaseKeeping(api, serverUser);
  await allowLeaseCounting(api);
  for (const half of ["server", "agent"] as const) await buildReference(reference, half);
  const audience = "https://kubernetes.default.svc";
  const agentToken = await api.createServiceAccountToken(agentNamespace, agentAccount, audience);
  fleet = new LeaseFleet({
    workspace,
    balancer: await RoundRobin.start(),
    flags: {
      server: [`--kubeconfig=${api.writeCertificateKubeconfig(serverUser)}`],
      // While a server is missing they look for it all the time.
      agent: [
        `--kubeconfig=${api.writeKubeconfig("agent", agentToken)}`,
        "--sync-interval=500ms",
        "--sync-interval-cap=1s",
      ],
    },
  });
});
afterAll(async () => {
  await fleet?.stop();
  await api?.stop();
  workspace?.remove();
});

async function leaseNames(): Promise<readonly string[]> {
  const { body } = await api.call("GET", `${leasesPath(agentNamespace)}?labelSelector=k8s-app%3Dkonnectivity-server`);
  return ((body as LeaseList).items ?? []).map(({ metadata }) => metadata.name).sort();
}

/** What nobody renews: agents are not to count it, and servers are to remove it. */
async function putDeadLease(name: string, spec: NonNullable<Lease["spec"]>): Promise<void> {
  const metadata = { name, labels: { "k8s-app": "konnectivity-server" } };
  expect(await api.call("POST", leasesPath(agentNamespace), { metadata, spec })).toMatchObject({ status: 201 });
}

/** Resolves when servers have removed these leases. */
async function gone(...dead: readonly string[]): Promise<void> {
  const removed = async () => {
    const names = await leaseNames();
    return !dead.some((name) => names.includes(name));
  };
  await fleet.until(`the removal of ${dead}`, removed, collectedWithinMs);
}

/** What a server of either kind publishes. */
async function isFresh(id: number): Promise<void> {
  const { body } = await api.call("GET", leasePath(agentNamespace, leaseOf(id)));
  expect(body).toMatchObject({
    metadata: { labels: { "k8s-app": "konnectivity-server" } },
    spec: {
      holderIdentity: `server-${id}`,
      leaseDurationSeconds: 30,
      renewTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
    },
  });
  expect(isLeaseValid(body as Lease, Date.now())).toBe(true);
}

/** Resolves when this server has just renewed its lease, which is then good for most of half a minute. */
async function renewed(id: number): Promise<void> {
  const renewTime = async () => {
    const { body } = await api.call("GET", leasePath(agentNamespace, leaseOf(id)));
    return (body as Lease).spec?.renewTime;
  };
  const before = await renewTime();
  await fleet.until(`a renewal of server ${id}`, async () => (await renewTime()) !== before);
}

const processes = () => [...fleet.agents, ...fleet.servers.values()];

/** What processes say that they may not do, of each from this line of its log on. */
const forbidden = (from: ReadonlyMap<ProxyProcess, number> = new Map()) =>
  processes().flatMap((child) => child.stderr.slice(from.get(child) ?? 0).filter((line) => /forbidden/i.test(line)));

/** How much each had said when all followed leases again. A kube-apiserver that comes back forbids all until it has read its roles. */
const saidBySettled = new Map<ProxyProcess, number>();

/** The links that a process says it has lost, but for those of these servers. */
const lostLinks = (agent: ProxyProcess, ...expected: readonly string[]) =>
  agent.stderr.filter(
    (line) => line.includes("link to server ended") && !expected.some((id) => line.includes(`"server":"${id}"`)),
  );

it("servers and agents find each other by leases, and nobody loses a connection when servers go and come and the API stands still", async () => {
  await putDeadLease("without-a-time", { holderIdentity: "nobody", leaseDurationSeconds: 30 });
  await Promise.all([1, 2, 3].map((id) => fleet.addServer(id)));
  await gone("without-a-time");
  const [a, b] = await Promise.all([fleet.addAgent("a"), fleet.addAgent("b"), fleet.addAgent("theirs", reference)]);
  await fleet.agentsSee({ known: 3, linked: 3 });
  await putDeadLease("long-over", { leaseDurationSeconds: 30, renewTime: microTime(Date.now() - 3_600_000) });
  const transfers = await Promise.all([1, 2].map((id) => RunningTransfers.start(fleet.front(id), pace)));

  // What comes before the outage has to come while this lease is valid.
  await renewed(3);
  await fleet.endServer(3, "SIGKILL");
  await Promise.all([fleet.addServer(4), fleet.addServer(5, reference)]);
  // Nobody knows yet that server 3 will not come back. The lease that is long over counts no more than it did.
  await fleet.agentsSee({ known: 5, linked: 4 });
  for (const id of [1, 2, 4, 5]) await isFresh(id);
  transfers.push(...(await Promise.all([4, 5].map((id) => RunningTransfers.start(fleet.front(id), pace)))));

  expect(forbidden()).toEqual([]);
  const endsAt = performance.now() + outageMs;
  api.pause();
  while (performance.now() < endsAt - outageMs / 2) for (const transfer of transfers) await transfer.progress();
  await api.stopServing();
  while (performance.now() < endsAt) for (const transfer of transfers) await transfer.progress();
  // By now every lease is over. Ours know that nobody could renew; the reference's counts one server by now.
  for (const agent of [a, b]) expect(await agent.metric("known_server_count")).toBe(5);
  await api.startServing();

  await fleet.agentsSee({ known: 4, linked: 4 }, collectedWithinMs);
  for (const child of processes()) saidBySettled.set(child, child.stderr.length);
  await gone(leaseOf(3), "long-over");
  for (const transfer of transfers) await transfer.progress();
  await Promise.all(transfers.map((transfer) => transfer.finish()));
  for (const agent of [a, b]) expect(lostLinks(agent, "server-3")).toEqual([]);
  expect(await leaseNames()).toEqual([1, 2, 4, 5].map(leaseOf));
});

it("a server of either kind takes its lease along when it ends", async () => {
  for (const id of [4, 5]) {
    expect(await fleet.endServer(id, "SIGTERM")).toMatchObject({ code: 0 });
    expect(await api.call("GET", leasePath(agentNamespace, leaseOf(id)))).toMatchObject({ status: 404 });
  }
  await fleet.agentsSee({ known: 2, linked: 2 });
});

it("the roles of the manifests were enough, and nothing more is allowed", async () => {
  expect(forbidden(saidBySettled)).toEqual([]);
  const token = await api.createServiceAccountToken(agentNamespace, agentAccount, "https://kubernetes.default.svc");
  const path = leasePath(agentNamespace, leaseOf(1));
  expect(await api.call("GET", path, undefined, token)).toMatchObject({ status: 200 });
  expect(await api.call("DELETE", path, undefined, token)).toMatchObject({ status: 403 });
});

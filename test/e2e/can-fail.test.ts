import { mkdirSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { makeCgroup, removeCgroup } from "./cgroups.ts";
import { execChecks, remoteCommandWires } from "./exec-checks.ts";
import { useCluster } from "./kubectl-suite.ts";
import { findLeftovers, runCgroup } from "./leftovers.ts";
import { logChecks } from "./log-checks.ts";
import { nodeSites, openFirewall } from "./network.ts";
import { proxyChecks } from "./proxy-checks.ts";
import { certificateCheck, firewallChecks, restartKubelet } from "./refusal-checks.ts";
import { SteadyLog } from "./steady-log.ts";
import { portForwardWires, transferChecks } from "./transfer-checks.ts";

const frontend = { protocol: "grpc", transport: "uds" } as const;
const sites = Object.values(nodeSites);

// A test of the tests: each of these checks has to go red.
describe("can fail", () => {
  const cluster = useCluster({ frontend });

  it("a log does not go on without the agent of its node", async () => {
    const log = await SteadyLog.start(cluster().kubectl, nodeSites.b);
    await cluster().agent("b").stop();
    await expect(log.goesOn()).rejects.toThrow();
    await log.stop();
    await cluster().agent("a").stop();
    await cluster().linked(0);
  });

  describe("with the agents stopped", () => {
    logChecks(it.fails, cluster);
    execChecks(it.fails, cluster, remoteCommandWires.slice(0, 1));
    transferChecks(it.fails, cluster, portForwardWires.slice(0, 1));
    proxyChecks(it.fails, cluster);
  });

  describe("with the firewalls open", () => {
    beforeAll(async () => {
      for (const { name } of sites) await openFirewall(name);
    });
    firewallChecks(it.fails, cluster);
  });

  describe("with kubelets of another CA", () => {
    beforeAll(async () => {
      for (const site of sites) await cluster().startAgent(site, "hawser");
      await cluster().linked(2);
      for (const node of cluster().nodes.values()) {
        await restartKubelet(cluster(), node, cluster().workspace.certificates.agentCa);
      }
    });
    logChecks(it.fails, cluster);
    execChecks(it.fails, cluster, remoteCommandWires.slice(0, 1));
  });

  it("what is left of a cluster is found", async () => {
    const folder = cluster().workspace.path("left");
    const cgroup = `${runCgroup()}-left`;
    mkdirSync(folder);
    makeCgroup(`${cgroup}/node`);
    const left = findLeftovers(folder, cgroup);
    await removeCgroup(cgroup);
    expect(left).toContain(`folder ${folder}`);
    expect(left).toContain("network namespace node-a");
    expect(left).toContainEqual(expect.stringMatching(/^network device .*node-b/));
    expect(left).toContainEqual(expect.stringMatching(/^cgroup .*\/node$/));
  });
});

describe("can fail, where kube-apiserver verifies no kubelet", () => {
  const cluster = useCluster({ frontend, verifiesKubelets: false });
  certificateCheck(it.fails, cluster);
});

import { afterAll, beforeAll, describe, it } from "vitest";
import { Cluster, type ClusterStart } from "./cluster.ts";
import { execChecks, remoteCommandWires } from "./exec-checks.ts";
import { logChecks } from "./log-checks.ts";
import { proxyChecks } from "./proxy-checks.ts";
import { certificateCheck, firewallChecks, hostileAgentCheck } from "./refusal-checks.ts";
import { portForwardWires, transferChecks } from "./transfer-checks.ts";

/** All that kubectl does, over one kind of frontend. */
export function kubectlSuite(name: string, start: ClusterStart): void {
  describe(name, () => {
    const cluster = useCluster(start);
    logChecks(it, cluster);
    execChecks(it, cluster);
    transferChecks(it, cluster);
    proxyChecks(it, cluster);
    firewallChecks(it, cluster);
    certificateCheck(it, cluster);
    hostileAgentCheck(it, cluster);
  });
}

/** Most of it, once and not over two wires of kubectl's each: with half of the reference's, or with both. */
export function smallSuite(name: string, start: ClusterStart): void {
  describe(name, () => {
    const cluster = useCluster(start);
    logChecks(it, cluster);
    execChecks(it, cluster, remoteCommandWires.slice(0, 1));
    transferChecks(it, cluster, portForwardWires.slice(0, 1));
    proxyChecks(it, cluster);
  });
}

/** A cluster for the tests of this suite. */
export function useCluster(start: ClusterStart): () => Cluster {
  let cluster: Cluster | undefined;
  beforeAll(async () => {
    cluster = await Cluster.start(start);
  });
  afterAll(() => cluster?.stop());
  return () => {
    if (cluster === undefined) throw new Error("the cluster did not start");
    return cluster;
  };
}

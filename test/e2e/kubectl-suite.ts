import { afterAll, beforeAll, describe } from "vitest";
import { Cluster, type ClusterStart } from "./cluster.ts";
import { execChecks } from "./exec-checks.ts";
import { logChecks } from "./log-checks.ts";
import { proxyChecks } from "./proxy-checks.ts";
import { refusalChecks } from "./refusal-checks.ts";
import { transferChecks } from "./transfer-checks.ts";

/** All that kubectl does, over one kind of frontend. */
export function kubectlSuite(name: string, start: ClusterStart): void {
  describe(name, () => {
    const cluster = useCluster(start);
    logChecks(cluster);
    execChecks(cluster);
    transferChecks(cluster);
    proxyChecks(cluster);
    refusalChecks(cluster);
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

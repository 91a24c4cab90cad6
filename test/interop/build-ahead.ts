import { setPriority } from "node:os";
import { buildHelm, buildKustomize } from "../support/deploy-tools.ts";
import { buildEtcd, buildKubeApi } from "../support/kube-api-processes.ts";
import { buildReference, referenceVersions } from "../support/processes.ts";
import { apiserverVersions, buildClient } from "./client-programs.ts";

/**
 * Builds every Go program of the interop tests, one after the other and in the order in which run.mjs has the files ask for
 * them, at a low priority: tests whose programs are there run meanwhile. A build that fails is left to the test that
 * needs it, which says so.
 */
const builds: readonly (() => Promise<string>)[] = [
  () => buildClient("konnectivity-client-v0.36.0"),
  ...referenceVersions
    .toReversed()
    .flatMap((version) => [
      () => buildReference(`reference-${version}`, "server"),
      () => buildReference(`reference-${version}`, "agent"),
    ]),
  ...apiserverVersions.map((version) => () => buildClient(`apiserver-${version}`)),
  () => buildClient("konnectivity-client-v0.37.0"),
  buildEtcd,
  buildKubeApi,
  buildKustomize,
  buildHelm,
];

// Started as the head of its own process group, which ends with all its compilers as soon as whoever started it is gone or
// has no more use for it.
process.stdin.resume().on("end", () => process.kill(-process.pid, "SIGKILL"));
setPriority(10);
for (const build of builds) await build().catch(() => {});
process.stdin.destroy();

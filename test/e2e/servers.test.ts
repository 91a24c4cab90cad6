import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agentToken } from "../support/konnectivity-accounts.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import { commandOf } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { agentPodName, applyManifests, importHawserImages, startAgentPod } from "./agent-pods.ts";
import { useCluster } from "./kubectl-suite.ts";
import { controlPlaneAddress, nodeSites, onNode } from "./network.ts";
import { podName } from "./pods.ts";
import { type ServerId, ServerPair } from "./server-pair.ts";
import { countedMemory } from "./stats-summary.ts";
import { SteadyLog } from "./steady-log.ts";

const reference = "reference-v0.36.0";
const sites = Object.values(nodeSites);
const { a, b } = nodeSites;
const ids: readonly ServerId[] = ["one", "two"];
const tokensWithinMs = 30_000;

describe("two servers with leases, agents as pods", () => {
  const cluster = useCluster({ frontend: { protocol: "grpc", transport: "uds" }, agent: "none" });
  let pair: ServerPair;
  beforeAll(async () => {
    await importHawserImages(cluster());
    await applyManifests(cluster());
    pair = await ServerPair.start(cluster());
    await Promise.all(sites.map((site) => startAgentPod(cluster(), site)));
    await pair.linked(2);
  });
  afterAll(() => pair?.stop());

  async function reaches(id: ServerId): Promise<void> {
    for (const site of sites) {
      const args = ["exec", podName(site), "--container=shell", "--", "hostname"];
      expect(await pair.kubectl(id).text(args)).toBe(`${podName(site)}\n`);
    }
  }

  it.each(ids)("the kube-apiserver of server %s reaches each node", reaches);

  it("an agent's pod stays within the memory that it asks for", async () => {
    const { kubectl } = cluster();
    for (const site of sites) {
      const pod = agentPodName(site);
      const used = await countedMemory(kubectl, site, pod);
      const path = "jsonpath={.spec.containers[0].resources.requests.memory}";
      const asked = await kubectl.text(["get", "pod", pod, "--namespace=kube-system", `--output=${path}`]);
      expect(asked).toMatch(/^\d+Mi$/);
      expect(used).toBeGreaterThan(0);
      expect(used).toBeLessThan(Number.parseInt(asked, 10) * 2 ** 20);
    }
  });

  it("a server is replaced by the reference, and back, while a log through the other goes on", async () => {
    const log = await SteadyLog.start(pair.kubectl("two"), b);
    try {
      for (const implementation of [reference, "hawser"] as const) {
        await pair.server("one").stop();
        await pair.startServer("one", implementation);
        await pair.linked(2);
        await reaches("one");
        await log.goesOn();
      }
    } finally {
      await log.stop();
    }
  });

  it("an agent with the token of another account is refused", async () => {
    const { workspace, api } = cluster();
    const token = workspace.path("token-of-somebody");
    writeFileSync(token, await agentToken(api, { account: "somebody" }));
    const from = ids.map((id) => pair.server(id).stderr.length);
    const command = await commandOf({ implementation: "hawser" }, "agent", [
      `--proxy-server-host=${controlPlaneAddress}`,
      `--ca-cert=${api.setting.caCert}`,
      `--service-account-token-path=${token}`,
      "--agent-id=somebody",
    ]);
    const agent = new ManagedProcess("agent with a wrong token", onNode(a, command));
    try {
      // Within a line of JSON.
      const text = String.raw`from \"somebody\" service account. Expected \"konnectivity-agent\"`;
      const refused = () =>
        ids.some((id, index) =>
          pair
            .server(id)
            .stderr.slice(from[index])
            .some((line) => line.includes(text)),
        );
      await until("a refusal", refused, { withinMs: tokensWithinMs, describe: () => agent.describe() });
    } finally {
      await agent.stop();
    }
    await pair.linked(2);
  });
});

import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { until } from "../support/until.ts";
import type { Check } from "./check.ts";
import type { Cluster } from "./cluster.ts";
import { byName, nodeSites } from "./network.ts";
import { kubeletReadOnlyPort } from "./node-files.ts";
import { aggregatedGroup, podName, podPorts } from "./pods.ts";
import { serviceName } from "./serving-pair.ts";
import { countedMemory } from "./stats-summary.ts";

const settlesWithinMs = 30_000;
const sites = Object.values(nodeSites);
/** Which pod is behind the service, and so is the webhook and the aggregated API. */
const served = podName(nodeSites.b);
const namespace = "/api/v1/namespaces/default";
const servicePorts = [
  { name: "http", port: 80, targetPort: podPorts.http },
  { name: "https", port: 443, targetPort: podPorts.https },
];

export function proxyChecks(check: Check, cluster: () => Cluster): void {
  const raw = (path: string) => cluster().kubectl.text(["get", "--raw", path]);

  check.each(byName(sites))("stats/summary of %s", async (_name, site) => {
    await countedMemory(cluster().kubectl, site, podName(site));
  });

  check("node proxy over http and https", async () => {
    expect(await raw(`/api/v1/nodes/http:${nodeSites.a.name}:${kubeletReadOnlyPort}/proxy/healthz`)).toBe("ok");
    expect(await raw(`/api/v1/nodes/https:${nodeSites.a.name}:10250/proxy/healthz`)).toBe("ok");
  });

  check.each(["http", "https"] as const)("pod proxy over %s", async (scheme) => {
    for (const site of sites) {
      const page = `${namespace}/pods/${scheme}:${podName(site)}:${podPorts[scheme]}/proxy/hello`;
      expect(await raw(page)).toBe(`hello from ${podName(site)} over ${scheme}\n`);
    }
  });

  check.each(["http", "https"] as const)("service proxy over %s", async (scheme) => {
    await makeService(cluster());
    const page = `${namespace}/services/${scheme}:${serviceName}:${scheme}/proxy/hello`;
    expect(await raw(page)).toBe(`hello from ${served} over ${scheme}\n`);
  });

  check("a validating webhook in a pod allows and refuses", async () => {
    await makeService(cluster());
    await cluster().api.ensure(
      "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
      webhook(cluster()),
    );
    const create = (name: string) => cluster().kubectl.run(["create", "configmap", name]);
    // kube-apiserver learns of the webhook a moment later.
    const refused = async () => (await create(`refused-${Math.random().toString(36).slice(2)}`)).stderr;
    await until("a refusal", async () => (await refused()).includes(`refused by the webhook in ${served}`), {
      withinMs: settlesWithinMs,
    });
    expect(await create("allowed")).toMatchObject({ code: 0 });
  });

  check("an aggregated API in a pod", async () => {
    await makeService(cluster());
    const { api, kubectl } = cluster();
    await api.ensure("/apis/apiregistration.k8s.io/v1/apiservices", apiService(cluster()));
    const name = `apiservice/v1.${aggregatedGroup}`;
    await kubectl.output(["wait", "--for=condition=Available", "--timeout=30s", name]);
    // What it serves is discovered apart from whether it is available.
    const greetings = () => kubectl.text(["get", `greetings.${aggregatedGroup}`, "--output=name"]);
    expect(await until("what it serves", greetings, { withinMs: settlesWithinMs })).toBe(
      `greeting.${aggregatedGroup}/from-${served}\n`,
    );
  });
}

/** The service, and what its controllers would make of it: Endpoints are read by the service proxy, slices by all else. */
async function makeService(cluster: Cluster): Promise<void> {
  const { api } = cluster;
  const { body } = await api.call("GET", `${namespace}/pods/${served}`);
  const { podIP } = (body as { readonly status: { readonly podIP: string } }).status;
  const targetRef = { kind: "Pod", namespace: "default", name: served };
  const ports = servicePorts.map(({ name, targetPort }) => ({ name, port: targetPort, protocol: "TCP" }));
  await api.ensure(`${namespace}/services`, { metadata: { name: serviceName }, spec: { ports: servicePorts } });
  await api.ensure(`${namespace}/endpoints`, {
    metadata: { name: serviceName },
    subsets: [{ addresses: [{ ip: podIP, targetRef }], ports }],
  });
  await api.ensure("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
    metadata: { name: serviceName, labels: { "kubernetes.io/service-name": serviceName } },
    addressType: "IPv4",
    endpoints: [{ addresses: [podIP], conditions: { ready: true }, targetRef }],
    ports,
  });
}

function endpointCa({ workspace }: Cluster): string {
  return readFileSync(workspace.certificates.endpointCa).toString("base64");
}

function webhook(cluster: Cluster): object {
  const service = { namespace: "default", name: serviceName, port: 443, path: "/validate" };
  return {
    metadata: { name: "e2e" },
    webhooks: [
      {
        name: `webhook.${aggregatedGroup}`,
        clientConfig: { service, caBundle: endpointCa(cluster) },
        rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] }],
        sideEffects: "None",
        admissionReviewVersions: ["v1"],
      },
    ],
  };
}

function apiService(cluster: Cluster): object {
  return {
    metadata: { name: `v1.${aggregatedGroup}` },
    spec: {
      group: aggregatedGroup,
      version: "v1",
      groupPriorityMinimum: 1000,
      versionPriority: 10,
      service: { namespace: "default", name: serviceName, port: 443 },
      caBundle: endpointCa(cluster),
    },
  };
}

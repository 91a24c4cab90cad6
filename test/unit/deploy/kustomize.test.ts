import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { version } from "../../../shared/version.ts";
import { imageName } from "../../../tools/image/image-layout.ts";
import { containersOf, flagsOf, halfOf, parseManifests, yamlFiles } from "../../support/manifests.ts";
import { repositoryRoot } from "../../support/repository-root.ts";

const files = yamlFiles("deploy/kustomize");
const manifests = [...files].flatMap(([path, text]) => parseManifests(text).map((manifest) => ({ path, manifest })));
const containers = manifests.flatMap(({ path, manifest }) => containersOf(manifest).map((it) => ({ path, it })));
const programs = containers.flatMap(({ path, it }) => {
  const half = it.command === undefined ? undefined : halfOf(it);
  return half === undefined ? [] : [{ path, half, it }];
});

it("there are programs of both halves", () => {
  expect(programs.map(({ path, half }) => `${path} ${half}`)).toEqual([
    "agent-daemonset/daemonset.yaml agent",
    "agent-deployment/deployment.yaml agent",
    "server/daemonset.yaml server",
  ]);
});

it.each(programs)("$path has flags of the $half only, each once", ({ half, it: container }) => {
  expect(() => flagsOf(container, half)).not.toThrow();
  const names = (container.args ?? []).map((arg) => arg.split("=")[0]);
  expect(names).toEqual([...new Set(names)]);
});

it("both halves mean the same port, account, audience and leases", () => {
  const [agent, deployed, server] = programs.map(({ half, it: container }) => flagsOf(container, half));
  expect(agent).toMatchObject({ ...deployed, "agent-identifiers": "host=node-1&ipv4=192.0.2.1" });
  expect(agent).toMatchObject({ "proxy-server-port": 8091, "lease-namespace": "kube-system" });
  expect(server).toMatchObject({
    "agent-port": 8091,
    "lease-namespace": "kube-system",
    "agent-namespace": "kube-system",
    "agent-service-account": "konnectivity-agent",
    "authentication-audience": "system:konnectivity-server",
  });
});

it("a memory limit has room for three times what connections may hold", () => {
  for (const { half, it: container } of programs) {
    const [, size = "", unit = ""] = /^(\d+)([MG])i$/.exec(container.resources?.limits.memory ?? "") ?? [];
    const limitMib = Number(size) * (unit === "G" ? 1024 : 1);
    const held = flagsOf(container, half) as { readonly "max-held-mib": number };
    expect(limitMib).toBeGreaterThanOrEqual(3 * held["max-held-mib"]);
    expect(container.resources?.limits).not.toHaveProperty("cpu");
  }
});

it("images are those of this version", () => {
  for (const { path, it: container } of containers.filter(({ it: { image } }) => image !== undefined)) {
    const half = path.startsWith("agent") ? "agent" : "server";
    expect(`${path} ${container.image}`).toBe(`${path} ${imageName(half, version)}`);
  }
});

it("every file belongs to a kustomization, and every file that one names is there", () => {
  const named: string[] = [];
  for (const [path, text] of files) {
    if (!path.endsWith("kustomization.yaml")) continue;
    const { resources = [], patches = [] } = parse(text) as {
      readonly resources?: readonly string[];
      readonly patches?: readonly { readonly path: string }[];
    };
    for (const name of [...resources, ...patches.map((patch) => patch.path)]) {
      const target = join(dirname(path), name);
      named.push(target.endsWith(".yaml") ? target : `${target}/kustomization.yaml`);
    }
  }
  const roots = [...files.keys()].filter((path) => path.endsWith("kustomization.yaml"));
  expect([...new Set([...named, ...roots])].sort()).toEqual([...files.keys()]);
});

it("the chart is of this version", () => {
  const chart = parse(readFileSync(join(repositoryRoot, "deploy/helm/hawser/Chart.yaml"), "utf8")) as object;
  expect(chart).toMatchObject({ version, appVersion: version });
});

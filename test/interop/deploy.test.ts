import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildHelm, buildKustomize, chart, helm, kustomize } from "../support/deploy-tools.ts";
import { type KubeApi, startKubeApi } from "../support/kube-api.ts";
import { collectionOf, containersOf, flagsOf, halfOf, type Manifest, parseManifests } from "../support/manifests.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { Workspace } from "../support/workspace.ts";

const namespace = "kube-system";
const bases = join(repositoryRoot, "deploy/kustomize");

let workspace: Workspace;
let api: KubeApi;
beforeAll(async () => {
  workspace = new Workspace();
  await buildHelm();
  await buildKustomize();
  api = await startKubeApi(workspace);
  await api.ensure("/api/v1/namespaces", { metadata: { name: namespace } });
  for (const name of ["konnectivity-server", "konnectivity-agent"]) {
    await api.ensure(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
  }
});
afterAll(async () => {
  await api?.stop();
  workspace?.remove();
});

const base = (name: string) => kustomize(join(bases, name));

/** A kustomization of a user's own. */
function overlay(name: string, text: (path: (base: string) => string) => string): Promise<readonly Manifest[]> {
  const folder = workspace.path(name);
  mkdirSync(folder);
  writeFileSync(
    join(folder, "kustomization.yaml"),
    text((path) => relative(folder, join(bases, path))),
  );
  return kustomize(folder);
}

const template = async (...args: readonly string[]) =>
  parseManifests(await helm(workspace.folder, "template", "hawser", chart, "-n", namespace, ...args));

const renderings: Readonly<Record<string, () => Promise<readonly Manifest[]>>> = {
  "kustomize: server": () => base("server"),
  "kustomize: server with the component server-nonroot": () =>
    overlay("nonroot", (path) => `resources: [${path("server")}]\ncomponents: [${path("server-nonroot")}]\n`),
  "kustomize: agent-daemonset": () => base("agent-daemonset"),
  "kustomize: agent-deployment": () => base("agent-deployment"),
  "chart: defaults": () => template(),
  "chart: agents as a Deployment": () => template("--set=agent.kind=Deployment"),
  "chart: a certificate of its own": () => template("--set=server.tls.secretName=konnectivity-server-tls"),
  "chart: much set": () =>
    template(
      "--set=server.mode=http-connect,server.extraArgs={--proxy-strategies=destHost\\,default},server.kubeApiServerPort=443,server.workers=2",
      "--set=agent.serverHost=192.0.2.7,agent.serverPort=443,agent.extraArgs={--alpn-proto=konnectivity},agent.networkPolicy.enabled=false",
      "--set=image.tag=v1,image.pullSecrets[0].name=registry,agent.tolerations[0].operator=Exists",
    ),
};

/** What kube-apiserver says of an object that it takes to the last step but keeps not. A field that it does not know is an error. */
async function dryRun(manifest: object & Pick<Manifest, "kind" | "metadata">): Promise<string> {
  const { kind, metadata } = manifest;
  // One of the name may be there, but not the one that is asked about.
  const asked = { ...manifest, metadata: { ...metadata, name: `${metadata.name}-asked` } };
  const { status, body } = await api.call(
    "POST",
    `${collectionOf(kind, namespace)}?dryRun=All&fieldValidation=Strict`,
    asked,
  );
  return status === 201 ? "taken" : `${kind} ${metadata.name}: ${(body as { readonly message: string }).message}`;
}

describe.each(Object.keys(renderings))("%s", (name) => {
  let manifests: readonly Manifest[];
  beforeAll(async () => {
    manifests = (await renderings[name]?.()) ?? [];
  });

  it("is taken by kube-apiserver, and so are the pods that come of it", async () => {
    expect(manifests.length).toBeGreaterThan(4);
    for (const manifest of manifests) {
      expect(await dryRun(manifest)).toBe("taken");
      expect(manifest.metadata.namespace).toBe(manifest.kind === "ClusterRoleBinding" ? undefined : namespace);
      const template = manifest.spec?.template;
      const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "pod", namespace }, spec: template?.spec };
      if (template !== undefined) expect(await dryRun(pod)).toBe("taken");
    }
  });

  it("has flags that its programs know", () => {
    const programs = manifests.flatMap(containersOf).flatMap((container) => {
      const half = halfOf(container);
      return half === undefined ? [] : [{ container, half }];
    });
    expect(programs.length).toBeGreaterThan(0);
    for (const { container, half } of programs) expect(() => flagsOf(container, half)).not.toThrow();
  });
});

it("the dry run finds what is wrong", async () => {
  const [server] = (await base("server")).filter(({ kind }) => kind === "DaemonSet");
  if (server === undefined) throw new Error("the base has no server");
  expect(await dryRun({ ...server, spec: { ...server.spec, replicas: 1 } } as Manifest)).toContain(
    'unknown field "spec.replicas"',
  );
  expect(await dryRun({ ...server, metadata: { ...server.metadata, name: "not_a_name" } })).toContain("metadata.name");
});

/** What a rendering makes of objects, without what says only who made them or what Kubernetes takes by default. */
function essentials(manifests: readonly Manifest[]): object {
  const byName = manifests.map(({ metadata, ...rest }) => {
    const { labels: _, ...named } = metadata as Manifest["metadata"] & { readonly labels?: object };
    const text = JSON.stringify({ ...rest, metadata: named }, (key, value) =>
      key === "imagePullPolicy" && value === "IfNotPresent" ? undefined : value,
    );
    return [`${rest.kind} ${metadata.name}`, JSON.parse(text)] as const;
  });
  return Object.fromEntries(byName);
}

describe("the chart makes what the bases make", () => {
  it.each(["DaemonSet", "Deployment"])("with agents as a %s", async (kind) => {
    const ofBases = [...(await base("server")), ...(await base(`agent-${kind.toLowerCase()}`))];
    const ofChart = await template(`--set=agent.kind=${kind}`);
    expect(essentials(ofChart)).toEqual(essentials(ofBases));
  });

  it("and one half where only one is wanted", async () => {
    const names = (manifests: readonly Manifest[]) => Object.keys(essentials(manifests)).sort();
    expect(names(await template("--set=agent.enabled=false"))).toEqual(names(await base("server")));
    expect(names(await template("--set=server.enabled=false"))).toEqual(names(await base("agent-daemonset")));
  });
});

async function argsOf(name: RegExp, ...set: readonly string[]): Promise<readonly string[]> {
  const containers = (await template(...set)).flatMap(containersOf);
  return containers.flatMap(({ args = [] }) => args.filter((arg) => name.test(arg)));
}

it("the chart has the server's work done by so many processes", async () => {
  expect(await argsOf(/workers/)).toEqual([]);
  expect(await argsOf(/workers/, "--set=server.workers=2")).toEqual(["--workers=2"]);
});

it("the chart's agents follow its server's port, unless they have another server", async () => {
  const port = /^--(proxy-server|agent)-port=/;
  const own = "--set=server.agentPort=9443";
  expect((await argsOf(port, own)).toSorted()).toEqual(["--agent-port=9443", "--proxy-server-port=9443"]);
  expect(await argsOf(port, own, "--set=agent.serverPort=443")).toContain("--proxy-server-port=443");
});

describe("the chart refuses values that cannot be meant", () => {
  it.each([
    ["agent.kind=Pod", "/agent/kind"],
    ["agent.kinds=DaemonSet", "additional properties 'kinds' not allowed"],
    ["agent.replicas=0", "/agent/replicas"],
    ["agent.maxHeldMib=many", "/agent/maxHeldMib"],
    ["agent.serverHost=https://192.0.2.7/", "/agent/serverHost"],
    ["server.mode=http", "/server/mode"],
    ["server.agentPort=443", "/server/agentPort"],
    ["server.workers=0", "/server/workers"],
    ["server.socketFolder=run/konnectivity", "/server/socketFolder"],
    ["server.extraArgs={-v=6}", "/server/extraArgs/0"],
    ["image.pullPolicy=Sometimes", "/image/pullPolicy"],
  ])("%s", async (set, said) => {
    await expect(template(`--set=${set}`)).rejects.toThrow(said);
  });
});

it("helm installs it, says what is left to do, and takes it away", async () => {
  const reach = ["-n", "hawser-try", "--kubeconfig", api.kubeconfig];
  const said = await helm(workspace.folder, "install", "hawser", chart, ...reach, "--create-namespace");
  expect(said).toContain("udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket");
  expect(said).toContain("kubectl -n hawser-try rollout status daemonset/konnectivity-agent");
  const agent = await api.call("GET", "/apis/apps/v1/namespaces/hawser-try/daemonsets/konnectivity-agent");
  expect(agent.status).toBe(200);
  const manifest = agent.body as Manifest;
  const [container] = containersOf(manifest);
  if (container === undefined) throw new Error("the DaemonSet has no container");
  expect(flagsOf(container, "agent")).toMatchObject({
    "proxy-server-host": "konnectivity-server.hawser-try.svc.cluster.local",
    "lease-namespace": "hawser-try",
  });
  await helm(workspace.folder, "uninstall", "hawser", ...reach);
  expect((await api.call("GET", "/apis/apps/v1/namespaces/hawser-try/daemonsets")).body).toMatchObject({ items: [] });
});

it("every base is among the renderings", () => {
  const rendered = Object.keys(renderings).join("\n");
  const missing = readdirSync(bases).filter((name) => name !== "agent-common" && !rendered.includes(name));
  expect(missing).toEqual([]);
});

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { certsCommand } from "../../../cli/commands/certs.ts";
import { version } from "../../../shared/version.ts";
import { halves } from "../../../tools/image/image-layout.ts";
import { flagsOf } from "../../support/manifests.ts";
import { repositoryRoot } from "../../support/repository-root.ts";

const read = (name: string) => readFileSync(join(repositoryRoot, name), "utf8");
const page = read("docs/deploy.md");
const blocksOf = (text: string) =>
  [...text.matchAll(/^( *)```(\w*)\n(.*?)^\1```$/gms)].map(([, indent = "", language, content = ""]) => ({
    language,
    text: content.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  }));
const commandsOf = (text: string) =>
  blocksOf(text)
    .filter(({ language }) => language === "")
    .flatMap(({ text: lines }) => lines.replaceAll("\\\n", " ").trim().split("\n"))
    .map((line) => line.split(/\s+/));
const blocks = blocksOf(page);
const commands = commandsOf(page);
const documents = blocks.filter(({ language }) => language === "yaml").map(({ text }) => parse(text));
const ofKind = (kind: string) => documents.find((document) => document.kind === kind);

it("its egress selector is kind's", () => {
  expect(ofKind("EgressSelectorConfiguration")).toEqual(parse(read("deploy/kind/egress-selector.yaml")));
});

it("its configuration for kubeadm is kind's", () => {
  const { apiServer, ...rest } = ofKind("ClusterConfiguration");
  const cluster = parse(read("deploy/kind/cluster-one.yaml"));
  const patches = cluster.kubeadmConfigPatches.map((text: string) => parse(text));
  const patch = patches.find(({ apiVersion }: { readonly apiVersion: string }) => apiVersion === rest.apiVersion);
  const [{ value: name }] = parse(cluster.kubeadmConfigPatchesJSON6902[0].patch);
  expect({ apiServer, ...rest }).toEqual({ ...patch, apiServer: { certSANs: [name], ...patch.apiServer } });
});

it("its kustomization and its commands name folders that are there", () => {
  const { resources, components } = ofKind("Kustomization");
  const applied = commands
    .filter(([name, verb]) => name === "kubectl" && verb === "apply")
    .map((words) => words.at(-1));
  expect(applied).toEqual(["deploy/kustomize/server", "deploy/kustomize/agent-daemonset"]);
  expect(page).toContain("in a folder beside `deploy`");
  const own = [...resources, ...components].map((folder) => join(repositoryRoot, "beside", folder));
  for (const folder of [...own, ...applied.map((name = "") => join(repositoryRoot, name))]) {
    expect(readdirSync(folder)).toContain("kustomization.yaml");
  }
  const [, , release, chart = ""] = commands.find(([name]) => name === "helm") ?? [];
  expect([release, existsSync(join(repositoryRoot, chart, "Chart.yaml"))]).toEqual(["hawser", true]);
  expect(commands.map(([name]) => name)).toContain("deploy/kind/up.sh");
});

it("the README's way into a cluster is this page's, which the tests of a whole cluster go", () => {
  const [, section = ""] = /^### In a cluster$(.*?)^##/ms.exec(read("README.md")) ?? [];
  const isOnTheWay = ([name, ...rest]: readonly string[]) =>
    name === "ctr" || (name === "kubectl" && rest.includes("apply"));
  const way = [["npm", "run", "image"], ...commands.filter(isOnTheWay)];
  expect(commandsOf(section)).toEqual(way);
});

it.each(halves)("the %s takes the arguments that it shows", (half) => {
  const [command] = commands.filter(([name]) => name === `proxy-${half}`);
  const [name = "", ...args] = command ?? [];
  expect(args.length).toBeGreaterThan(4);
  expect(() => flagsOf({ name, image: "", command: [name], args }, half)).not.toThrow();
});

it("its certificates are the ones that these arguments name", async () => {
  const [, , , ...argv] = commands.find(([, program]) => program === "dist/cli/bin.js") ?? [];
  const folder = mkdtempSync(join(tmpdir(), "hawser-deploy-doc-"));
  try {
    const out = argv.map((arg) => (arg === "certs" ? folder : arg));
    expect(await certsCommand(out, () => {})).toBe(0);
    const named = [...page.matchAll(/=certs\/(\S+)/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(5);
    expect(readdirSync(folder)).toEqual(expect.arrayContaining([...new Set(named)]));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("its scripts and versions are there", () => {
  const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Readonly<Record<string, string>> };
  for (const [, name = ""] of page.matchAll(/`npm run ([\w:-]+)`/g)) expect(Object.keys(scripts)).toContain(name);
  const named = [...page.matchAll(/(?:proxy-\w+:|\/hawser-)(\d\S*?)(?=-linux|`|\s)/g)].map(([, it]) => it);
  expect(named).toEqual([version, version, version]);
});

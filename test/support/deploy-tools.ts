import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildGo } from "./go.ts";
import { type Manifest, parseManifests } from "./manifests.ts";
import { repositoryRoot } from "./repository-root.ts";

const run = promisify(execFile);

export const chart: string = join(repositoryRoot, "deploy/helm/hawser");

export function buildHelm(): Promise<string> {
  return buildGo({ moduleDir: "test/interop/deploy/helm", package: "helm.sh/helm/v3/cmd/helm", out: "helm" });
}

export function buildKustomize(): Promise<string> {
  return buildGo({
    moduleDir: "test/interop/deploy/kustomize",
    package: "sigs.k8s.io/kustomize/kustomize/v5",
    out: "kustomize",
  });
}

/** Runs helm, with nothing of this user's own: `home` is where it keeps what it keeps. Rejects with what it said. */
export async function helm(home: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(await buildHelm(), args, { env: { PATH: process.env.PATH, HOME: home } });
  return stdout;
}

/** Renders a folder of deploy/kustomize, or of wherever. */
export async function kustomize(folder: string): Promise<readonly Manifest[]> {
  const { stdout } = await run(await buildKustomize(), ["build", folder]);
  return parseManifests(stdout);
}

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../netns/tools.ts";
import { buildGo } from "../support/go.ts";

/** What every pod of the tests runs: busybox, and the program that answers. */
export const testImage = "docker.io/hawser/e2e:test";

/** Builds the program of the pods' pages. Rejects with GoMissing without Go. */
export function buildPodServer(): Promise<string> {
  return buildGo({ moduleDir: "test/e2e/pod-server", package: ".", out: "pod-server" });
}

/** Writes the image as an archive that `ctr images import` takes, and resolves to its path. `folder` need not be there. */
export async function writeTestImage(folder: string): Promise<string> {
  const root = join(folder, "root");
  for (const name of ["bin", "etc"]) mkdirSync(join(root, name), { recursive: true });
  mkdirSync(join(root, "tmp"), { mode: 0o1777 });
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  copyFileSync("/usr/bin/busybox", join(root, "bin/busybox"));
  const applets = execFileSync("/usr/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n");
  for (const applet of applets.filter((name) => name !== "busybox")) symlinkSync("busybox", join(root, "bin", applet));
  copyFileSync(await buildPodServer(), join(root, "pod-server"));
  await run("tar", "--create", "--owner=0", "--group=0", "--file", join(folder, "layer.tar"), "--directory", root, ".");
  const layerDigest = createHash("sha256")
    .update(readFileSync(join(folder, "layer.tar")))
    .digest("hex");
  const config = {
    architecture: { x64: "amd64" }[process.arch as string] ?? process.arch,
    os: "linux",
    // A pod's sandbox runs this, and all else says what it runs.
    config: { Env: ["PATH=/bin"], Cmd: ["/bin/sleep", "2147483"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${layerDigest}`] },
  };
  const manifest = [{ Config: "config.json", RepoTags: [testImage], Layers: ["layer.tar"] }];
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  const archive = join(folder, "image.tar");
  await run("tar", "--create", "--file", archive, "--directory", folder, "manifest.json", "config.json", "layer.tar");
  return archive;
}

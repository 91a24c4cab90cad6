import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { requireNetworkTools } from "../netns/tools.ts";

/** This machine lacks what a node is made of. What needs that cannot run; that is for the caller to say aloud. */
export class ClusterToolsMissing extends Error {
  override readonly name = "ClusterToolsMissing";
  readonly code = "cluster_tools_missing";
}

/** Where Debian has the plugins of CNI. */
export const cniPlugins = "/usr/lib/cni";

/** Which package of Debian has each program. */
const packages: Readonly<Record<string, readonly string[]>> = {
  containerd: ["containerd", "ctr", "containerd-shim-runc-v2"],
  runc: ["runc"],
  "containernetworking-plugins": ["bridge", "host-local", "loopback"].map((name) => join(cniPlugins, name)),
  "busybox-static": ["/usr/bin/busybox"],
  "util-linux": ["nsenter", "unshare"],
  bsdutils: ["script"],
};

/** Rejects with ClusterToolsMissing or NetworkToolsMissing, which say what to do, unless nodes can run here. */
export async function requireClusterTools(): Promise<void> {
  const missing = Object.entries(packages).flatMap(([name, programs]) => (programs.every(isProgram) ? [] : [name]));
  if (missing.length > 0) {
    throw new ClusterToolsMissing(
      `a node needs ${missing.join(", ")}; on Debian: apt-get install ${missing.join(" ")}`,
    );
  }
  await requireNetworkTools();
}

function isProgram(name: string): boolean {
  const folders = name.startsWith("/") ? [""] : (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

import { fileURLToPath } from "node:url";

/** The scripts that the demo runs as processes. */
export interface Programs {
  readonly server: string;
  readonly agent: string;
  readonly kubelet: string;
}

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Those of the build that this file is part of. */
export const builtPrograms: Programs = {
  server: pathOf("../../server/bin.js"),
  agent: pathOf("../../agent/bin.js"),
  kubelet: pathOf("./kubelet-main.js"),
};

import { statSync } from "node:fs";
import { UsageError } from "../errors.ts";
import { goQuote } from "./value-error.ts";

export interface KeyPairFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/**
 * Throws UsageError if a file is named and does not exist; `what` is how the contract calls it.
 * A file that cannot be read for another reason passes here, and fails where it is loaded.
 */
export function requireFile(what: string, path: string): void {
  if (path === "") return;
  const problem = missingFile(path);
  if (problem !== undefined) throw new UsageError(`error checking ${what} ${path}, got ${problem}`);
}

/** Throws UsageError if a kubeconfig is named and does not exist. */
export function requireKubeconfig(path: string): void {
  const problem = path === "" ? undefined : missingFile(path);
  if (problem !== undefined) throw new UsageError(`checking KubeconfigPath ${goQuote(path)}, got ${problem}`);
}

/** A key pair is named by both files or by none. Throws UsageError in the contract's order; `owner` is `server`, `cluster` or `agent`. */
export function requireKeyPair(owner: string, { certFile, keyFile }: KeyPairFiles): void {
  requireFile(`${owner} key`, keyFile);
  if (keyFile !== "" && certFile === "") {
    throw new UsageError(`cannot have ${owner} cert empty when ${owner} key is set to ${goQuote(keyFile)}`);
  }
  requireFile(`${owner} cert`, certFile);
  if (certFile !== "" && keyFile === "") {
    throw new UsageError(`cannot have ${owner} key empty when ${owner} cert is set to ${goQuote(certFile)}`);
  }
}

/** What Go says about a path that does not exist; undefined for one that does. */
function missingFile(path: string): string | undefined {
  try {
    statSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return `stat ${path}: no such file or directory`;
  }
  return undefined;
}

import { existsSync, readFileSync } from "node:fs";

/** package.json lies beside shared/ in the source tree, and one folder further up from dist/shared/. */
function readVersion(): string {
  const candidates = [new URL("../package.json", import.meta.url), new URL("../../package.json", import.meta.url)];
  const file = candidates.find((candidate) => existsSync(candidate));
  if (file === undefined) return "unknown";
  return String((JSON.parse(readFileSync(file, "utf8")) as { version?: unknown }).version);
}

/** This build's version, as package.json has it. */
export const version: string = readVersion();

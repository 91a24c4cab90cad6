import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { buildReference } from "../support/processes.ts";
import {
  type ReferenceFlags,
  referenceAgentFlags,
  referenceCommonFlags,
  referenceServerFlags,
  unlistedFlags,
} from "../support/reference-flags.ts";

const run = promisify(execFile);
const helpLine = /^ {2,6}(?:-\w, |\s{4})--([\w-]+)(?: (\S+))? {2,}(.*)$/;
/** What a flag without a default in its help has. */
const zeroOf: Readonly<Record<string, string>> = { int: "0", duration: "0s", float32: "0", "": "false" };
const uuid = /^[0-9a-f]{8}-/;

test.each([
  ["server", referenceServerFlags],
  ["agent", referenceAgentFlags],
] as const)("the reference's %s v0.36.0 has the flags and defaults that we compare ours with", async (half, flags) => {
  const { stdout } = await run(await buildReference("reference-v0.36.0", half), ["--help"]);
  const help: Record<string, string> = {};
  for (const line of stdout.split("\n")) {
    const [, name, type = "", text = ""] = helpLine.exec(line) ?? [];
    if (name === undefined) continue;
    const shown = /\(default "?(.*?)"?\)$/.exec(text)?.[1] ?? zeroOf[type] ?? "";
    help[name] = uuid.test(shown) ? "" : shown;
  }
  const expected: ReferenceFlags = { ...flags, ...referenceCommonFlags };
  const listed = Object.entries(expected).filter(([name]) => name in help || !unlistedFlags.includes(name));
  expect(help).toEqual(Object.fromEntries(listed));
});

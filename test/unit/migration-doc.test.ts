import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { agentFlags } from "../../agent/options-flags.ts";
import { serverFlags } from "../../server/options-flags.ts";
import { defaultText, type FlagDefinition, type FlagTable } from "../../shared/options/flag.ts";
import { standingText } from "../../shared/options/usage.ts";
import {
  type ReferenceFlags,
  referenceAgentFlags,
  referenceCommonFlags,
  referenceServerFlags,
} from "../support/reference-flags.ts";
import { repositoryRoot } from "../support/repository-root.ts";

const path = join(repositoryRoot, "docs/migration.md");
const generatedPart = /(?<=<!-- flags: [^\n]* -->\n).*(?=<!-- end of flags -->)/s;

/** What is to be said of a flag to whom the reference's is familiar; undefined if it is the same. */
function difference(definition: FlagDefinition, theirs: string | undefined): string | undefined {
  const ours = defaultText(definition);
  const standing = standingText(definition.status);
  if (theirs === undefined) return "Hawser's own: take it out before you go back.";
  if (standing !== "") return standing;
  if (ours !== theirs) return `Default ${ours}, there ${theirs}.`;
  return undefined;
}

function rows(half: string, table: FlagTable, reference: ReferenceFlags): string[] {
  const theirs = { ...reference, ...referenceCommonFlags };
  return Object.entries<FlagDefinition>(table).flatMap(([name, definition]) => {
    const text = difference(definition, theirs[name]);
    return text === undefined ? [] : [`| ${half} | \`--${name}\` | ${text} |`];
  });
}

function flagTable(): string {
  const own = [...rows("server", serverFlags, referenceServerFlags), ...rows("agent", agentFlags, referenceAgentFlags)];
  const words = own.map((row) => row.replace(/^\| \w+ /, ""));
  // What both have alike stands once.
  const merged = own.flatMap((row, index) => {
    const twin = words.indexOf(words[index] ?? "");
    const isBoth = words.lastIndexOf(words[index] ?? "") !== twin;
    if (isBoth && twin !== index) return [];
    return [isBoth ? `| both ${words[index]}` : row];
  });
  return ["", "| Half | Flag | What is different |", "|---|---|---|", ...merged, "", ""].join("\n");
}

it("docs/migration.md has the flags that differ", () => {
  const page = readFileSync(path, "utf8");
  const written = page.replace(generatedPart, flagTable());
  if (process.env.UPDATE_DOCS === "1") writeFileSync(path, written);
  expect(page.match(generatedPart)?.[0]).toBeDefined();
  expect(readFileSync(path, "utf8")).toBe(written);
});

it("every flag of the reference is known here", () => {
  const unknown = (table: FlagTable, reference: ReferenceFlags) =>
    Object.keys({ ...reference, ...referenceCommonFlags }).filter((name) => !Object.hasOwn(table, name));
  expect(unknown(serverFlags, referenceServerFlags)).toEqual([]);
  expect(unknown(agentFlags, referenceAgentFlags)).toEqual([]);
});

import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { agentFlags } from "../../../../agent/options-flags.ts";
import { serverFlags } from "../../../../server/options-flags.ts";
import { commonFlags } from "../../../../shared/options/common-flags.ts";
import type { FlagTable } from "../../../../shared/options/flag.ts";
import { shownDefault, standingText } from "../../../../shared/options/usage.ts";

const page = new URL("../../../../docs/flags.md", import.meta.url);

const introduction = `# Flags

Generated from \`server/options-flags.ts\`, \`agent/options-flags.ts\` and \`shared/options/common-flags.ts\`;
\`UPDATE_DOCS=1 npx vitest run --project unit test/unit/shared/options/flags-doc.test.ts\` writes it anew.

Flags are read as Go's pflag reads them: \`--name=value\` or \`--name value\`, a boolean as \`--name\` or \`--name=false\`,
durations as \`1h0m0s\`, \`1.5s\` or \`100ms\`, lists with commas or by repeating the flag, underscores as hyphens. Of a flag given
twice the last one wins. An unknown flag, or a value that breaks a rule, ends the process with status 1 and one line that says why.

"No effect" flags are accepted, so that existing manifests start; a line in the log says so when one is set.
`;

function rows(table: FlagTable): string {
  const cells = Object.entries(table).map(([name, definition]) => {
    const shown = shownDefault(definition);
    const spelling =
      definition.shorthand === undefined ? `\`--${name}\`` : `\`--${name}\`, \`-${definition.shorthand}\``;
    const fallback = shown === "" || definition.defaultNote !== undefined ? shown : `\`${shown}\``;
    const standing = standingText(definition.status) || "Works.";
    return `| ${[spelling, definition.type, fallback, definition.help, standing].join(" | ")} |`;
  });
  return ["| Flag | Type | Default | Effect | Status |", "|---|---|---|---|---|", ...cells].join("\n");
}

function without(table: FlagTable, left: FlagTable): FlagTable {
  return Object.fromEntries(Object.entries(table).filter(([name]) => !Object.hasOwn(left, name)));
}

function generated(): string {
  const sections = [
    `## proxy-server\n\n${rows(without(serverFlags, commonFlags))}`,
    `## proxy-agent\n\n${rows(without(agentFlags, commonFlags))}`,
    `## Both\n\n${rows(commonFlags)}`,
  ];
  return `${introduction}\n${sections.join("\n\n")}\n`;
}

it("docs/flags.md is what the definitions say", () => {
  if (process.env.UPDATE_DOCS === "1") writeFileSync(page, generated());
  expect(readFileSync(page, "utf8")).toBe(generated());
});

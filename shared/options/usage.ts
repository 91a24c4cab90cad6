import { defaultText, type FlagDefinition, type FlagStatus, type FlagTable, valueTypes } from "./flag.ts";

const lineWidth = 100;
const indent = " ".repeat(8);

/**
 * The help text: flags by group, each with its type, default, effect and, where it does not simply work, its standing.
 * Written here and not by yargs, because an agent lives in 30 MiB and its parser is pflag's anyway.
 */
export function usageText(program: string, summary: string, table: FlagTable): string {
  const visible = Object.entries<FlagDefinition>(table).filter(([, definition]) => definition.aliasOf === undefined);
  const groups = [...new Set(visible.map(([, { group }]) => group))];
  const sections = groups.map((group) => {
    const flags = visible.filter(([, definition]) => definition.group === group);
    return `${group}:\n${flags.map(([name, definition]) => flagText(name, definition)).join("")}`;
  });
  return `${summary}\n\nUsage: ${program} [flags]\n\n${sections.join("\n")}`;
}

/** The default as usage and docs show it. */
export function shownDefault(definition: FlagDefinition): string {
  return definition.defaultNote ?? defaultText(definition);
}

/** What there is to say of a flag that does not simply work; empty for one that does. */
export function standingText(status: FlagStatus): string {
  switch (status.kind) {
    case "works":
      return "";
    case "no-op":
      return `No effect: ${status.reason}.`;
    case "deprecated":
      return `Deprecated: ${status.reason}.`;
  }
}

function flagText(name: string, definition: FlagDefinition): string {
  const spelling = definition.shorthand === undefined ? `    --${name}` : `-${definition.shorthand}, --${name}`;
  const { placeholder } = valueTypes[definition.type];
  const shown = shownDefault(definition);
  const head = [spelling, placeholder, shown === "" ? "" : `(default ${shown})`].filter((part) => part !== "");
  const body = [definition.help, standingText(definition.status)].filter((part) => part !== "").join(" ");
  return `  ${head.join(" ")}\n${wrap(body)}`;
}

function wrap(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > lineWidth) lines.push(indent + word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return `${lines.join("\n")}\n`;
}

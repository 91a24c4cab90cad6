import { type FlagDefinition, type FlagTable, formatValue } from "./flag.ts";

type Values = Readonly<Record<string, unknown>>;

/** One line for each flag that stood on the command line and has no effect, or soon will have none. */
export function noticesOf(table: FlagTable, explicit: ReadonlySet<string>): readonly string[] {
  return Object.entries(table)
    .filter(([name]) => explicit.has(name))
    .flatMap(([name, { status }]) => {
      if (status.kind === "no-op") return [`--${name} has no effect: ${status.reason}`];
      if (status.kind === "deprecated") return [`--${name} is deprecated: ${status.reason}`];
      return [];
    });
}

/** Every flag with its value in the spelling that its parser takes, by name. `leftOut` are names to leave out. */
export function flagValuesOf(
  table: FlagTable,
  values: Values,
  leftOut: ReadonlySet<string>,
): readonly (readonly [string, string])[] {
  return flagsOf(table)
    .filter(([name]) => !leftOut.has(name))
    .map(([name, definition]) => [name, formatValue(definition, values[name])] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function flagsOf(table: FlagTable): readonly (readonly [string, FlagDefinition])[] {
  return Object.entries(table).filter(([, definition]) => definition.aliasOf === undefined);
}

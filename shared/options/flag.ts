import { formatGoDuration, parseGoDuration } from "./go-duration.ts";
import { formatFloat32, parseGoBool, parseGoFloat32, parseGoInt, parseGoInt32 } from "./go-numbers.ts";
import { parseLabelSelector } from "./label-selector.ts";
import { formatStringSlice, parseStringSlice } from "./string-slice.ts";

/** How a flag's text becomes a value and back. `parse(format(value))` is the same value. */
interface ValueType<Value> {
  /** `earlier` is what the flag was set to before on the same command line. Throws ValueError. */
  parse(text: string, earlier: Value | undefined): Value;
  format(value: Value): string;
  /** What usage shows for the value; empty for a flag that can stand alone. */
  readonly placeholder: string;
}

const textual = { parse: (text: string) => text, format: (value: string) => value };
const whole = (value: number) => String(value);

export const valueTypes = {
  string: { ...textual, placeholder: "string" },
  bool: { parse: parseGoBool, format: String, placeholder: "" },
  int: { parse: parseGoInt, format: whole, placeholder: "int" },
  level: { parse: parseGoInt32, format: whole, placeholder: "level" },
  float32: { parse: parseGoFloat32, format: formatFloat32, placeholder: "float32" },
  /** Nanoseconds. */
  duration: { parse: parseGoDuration, format: formatGoDuration, placeholder: "duration" },
  strings: {
    parse: (text: string, earlier?: readonly string[]) => [...(earlier ?? []), ...parseStringSlice(text)],
    format: formatStringSlice,
    placeholder: "strings",
  },
  /** Checked on the way in, kept as it was written. */
  selector: {
    parse(text: string) {
      parseLabelSelector(text);
      return text;
    },
    format: textual.format,
    placeholder: "selector",
  },
} as const satisfies {
  string: ValueType<string>;
  bool: ValueType<boolean>;
  int: ValueType<number>;
  level: ValueType<number>;
  float32: ValueType<number>;
  duration: ValueType<bigint>;
  strings: ValueType<readonly string[]>;
  selector: ValueType<string>;
};

export type FlagType = keyof typeof valueTypes;

export type FlagStatus =
  | { readonly kind: "works" }
  /** Taken and checked, without effect. */
  | { readonly kind: "no-op" | "deprecated"; readonly reason: string };

export const works: FlagStatus = { kind: "works" };

export interface FlagDefinition {
  readonly type: FlagType;
  /** As one would write it on the command line. */
  readonly default: string;
  /** What stands in the place of an empty default in usage and docs. */
  readonly defaultNote?: string;
  readonly group: string;
  readonly help: string;
  readonly status: FlagStatus;
  /** A single letter, for `-v 4`. */
  readonly shorthand?: string;
  /** Sets the flag of this name; usage leaves an alias out. */
  readonly aliasOf?: string;
}

/** Flags by name, in the order in which usage and docs show them. */
export type FlagTable = Readonly<Record<string, FlagDefinition>>;

export type ValueOf<Type extends FlagType> = ReturnType<(typeof valueTypes)[Type]["parse"]>;

/** The values of a table's flags, aliases left out. */
export type FlagValues<Table extends FlagTable> = {
  readonly [Name in keyof Table as Table[Name] extends { readonly aliasOf: string } ? never : Name]: ValueOf<
    Table[Name]["type"]
  >;
};

/** Writes a value of the definition's type as its flag would take it. */
export function formatValue(definition: FlagDefinition, value: unknown): string {
  // A value in FlagValues has the type that its own definition names; TypeScript does not follow that through a lookup.
  return (valueTypes[definition.type] as ValueType<unknown>).format(value);
}

/** Reads a text as the definition's type. Throws ValueError. */
export function parseValue(definition: FlagDefinition, text: string, earlier: unknown): unknown {
  return (valueTypes[definition.type] as ValueType<unknown>).parse(text, earlier);
}

/** The default as the type prints it: `1h0m0s` for `1h`. */
export function defaultText(definition: FlagDefinition): string {
  return formatValue(definition, parseValue(definition, definition.default, undefined));
}

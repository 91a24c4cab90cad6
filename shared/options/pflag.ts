import { UsageError } from "../errors.ts";
import { type FlagDefinition, type FlagTable, type FlagValues, parseValue } from "./flag.ts";
import { nearest } from "./nearest.ts";
import { goQuote, ValueError } from "./value-error.ts";

export interface ParsedFlags<Table extends FlagTable> {
  readonly values: FlagValues<Table>;
  /** Names that stood on the command line, aliases under their own. */
  readonly explicit: ReadonlySet<string>;
}

/**
 * Reads a command line as Go's pflag does: `--name=value`, `--name value`, a boolean alone or as `--name=value` but never
 * with the next word, `-v 4`, `-v=4` and `-v4`, underscores in names as hyphens, `--` as the end of flags. Of a flag
 * given twice the last wins, lists grow. Words that are no flags are passed over, as the reference does.
 * Throws UsageError with pflag's texts, and the nearest name for an unknown one.
 */
export function parseFlags<Table extends FlagTable>(argv: readonly string[], table: Table): ParsedFlags<Table> {
  const reader = new ArgumentReader(argv, table);
  reader.readAll();
  const values = Object.entries<FlagDefinition>(table)
    .filter(([, definition]) => definition.aliasOf === undefined)
    .map(([name, definition]) => [
      name,
      reader.values.has(name) ? reader.values.get(name) : parseValue(definition, definition.default, undefined),
    ]);
  return { values: Object.fromEntries(values) as FlagValues<Table>, explicit: reader.explicit };
}

class ArgumentReader {
  readonly values = new Map<string, unknown>();
  readonly explicit = new Set<string>();
  readonly #argv: readonly string[];
  readonly #table: FlagTable;
  #at = 0;

  constructor(argv: readonly string[], table: FlagTable) {
    this.#argv = argv;
    this.#table = table;
  }

  readAll(): void {
    for (let word = this.#next(); word !== undefined && word !== "--"; word = this.#next()) {
      if (word.startsWith("--")) this.#readLong(word);
      else if (word.startsWith("-") && word !== "-") this.#readShorthands(word.slice(1));
    }
  }

  #next(): string | undefined {
    return this.#argv[this.#at++];
  }

  #readLong(word: string): void {
    const equals = word.indexOf("=");
    const given = equals === -1 ? word.slice(2) : word.slice(2, equals);
    if (given === "" || given.startsWith("-")) throw new UsageError(`bad flag syntax: ${word}`);
    const name = given.replaceAll("_", "-");
    const definition = this.#definition(name);
    if (definition === undefined) throw new UsageError(`unknown flag: --${given}${this.#hint(name)}`);
    const value = equals === -1 ? standaloneValue(definition, () => this.#next()) : word.slice(equals + 1);
    if (value === undefined) throw new UsageError(`flag needs an argument: --${given}`);
    this.#set(name, definition, value);
  }

  /** `letters` are booleans, up to one that takes a value; the value is the rest, or the next word. */
  #readShorthands(letters: string): void {
    for (let rest = letters; rest !== ""; ) {
      const letter = rest.slice(0, 1);
      const [name, definition] =
        Object.entries(this.#table).find(([, candidate]) => candidate.shorthand === letter) ?? [];
      if (name === undefined || definition === undefined) {
        const long = letters.split("=", 1)[0]?.replaceAll("_", "-") ?? "";
        const hint = this.#definition(long) === undefined ? "" : ` (did you mean --${long}?)`;
        throw new UsageError(`unknown shorthand flag: '${letter}' in -${rest}${hint}`);
      }
      const group = rest;
      const attached = rest.slice(1);
      rest = "";
      let value: string | undefined;
      if (attached.length > 1 && attached.startsWith("=")) {
        value = attached.slice(1);
      } else if (definition.type === "bool") {
        value = "true";
        rest = attached;
      } else {
        value = attached === "" ? this.#next() : attached;
      }
      if (value === undefined) throw new UsageError(`flag needs an argument: '${letter}' in -${group}`);
      this.#set(name, definition, value);
    }
  }

  #set(name: string, definition: FlagDefinition, text: string): void {
    const target = definition.aliasOf ?? name;
    try {
      this.values.set(target, parseValue(definition, text, this.values.get(target)));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      const shown = definition.shorthand === undefined ? `--${name}` : `-${definition.shorthand}, --${name}`;
      throw new UsageError(`invalid argument ${goQuote(text)} for ${goQuote(shown)} flag: ${error.message}`);
    }
    this.explicit.add(name);
  }

  #definition(name: string): FlagDefinition | undefined {
    return Object.hasOwn(this.#table, name) ? this.#table[name] : undefined;
  }

  #hint(name: string): string {
    const visible = Object.keys(this.#table).filter((candidate) => this.#table[candidate]?.aliasOf === undefined);
    const best = nearest(name, visible);
    return best === undefined ? "" : ` (did you mean --${best}?)`;
  }
}

/** What a flag without `=` is set to: a boolean to true, any other to the word that follows. */
function standaloneValue(definition: FlagDefinition, next: () => string | undefined): string | undefined {
  return definition.type === "bool" ? "true" : next();
}

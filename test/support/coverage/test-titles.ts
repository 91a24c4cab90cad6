import { readFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../repository-root.ts";

/** A title as the first argument of `it`, `test` or `describe`, or of what `.each(...)`, `.runIf(...)` and the like return. */
const declaration = /(?:\b(?:it|test|describe)|\))\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1\s*,/g;
/** What a table or a template string fills in. */
const gap = /%[sdifjo#]|%\.\d+j|\$\w+|…/g;

const files = new Map<string, TestFile>();

/** A test file, named from test/ on. Throws if there is none. */
export function testFile(name: string): TestFile {
  const known = files.get(name) ?? new TestFile(readFileSync(join(repositoryRoot, "test", name), "utf8"));
  files.set(name, known);
  return known;
}

class TestFile {
  readonly #source: string;
  /** As the source has them; what a template string fills in is written as "…". */
  readonly #titles: ReadonlySet<string>;

  constructor(source: string) {
    this.#source = source;
    const found = [...source.matchAll(declaration)];
    this.#titles = new Set(found.map(([, quote = "", written = ""]) => titleOf(written, quote)));
  }

  /** Whether a test or a group has this title: as it is written, or as strings of a table in this file fill it in. */
  has(title: string): boolean {
    return this.#titles.has(title) || [...this.#titles].some((written) => this.#fills(written, title));
  }

  #fills(written: string, title: string): boolean {
    const parts = written.split(gap);
    if (parts.length === 1) return false;
    const filled = new RegExp(`^${parts.map(escaped).join("(.+)")}$`, "s").exec(title)?.slice(1);
    return filled?.every((text) => this.#source.includes(`"${text}"`)) ?? false;
  }
}

function titleOf(written: string, quote: string): string {
  const text = written.replace(/\\(.)/g, "$1");
  return quote === "`" ? text.replace(/\$\{[^}]*\}/g, "…") : text;
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

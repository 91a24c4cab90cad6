import { goQuote, ValueError } from "./value-error.ts";

export type LabelOperator = "exists" | "not-exists" | "in" | "not-in" | "greater" | "less";

/** One of the comma-joined conditions of a selector; all of them must hold. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  /** Empty for `exists` and `not-exists`, one integer for `greater` and `less`. */
  readonly values: readonly string[];
}

const token = /\s*(?:(==|!=|[=!(),<>])|([^\s=!(),<>]+))/y;
const labelName = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const dnsSubdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const nameMaxLength = 63;
const prefixMaxLength = 253;

/**
 * Reads a Kubernetes label selector: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, `a>1`, `a<1`,
 * joined by commas. An empty text selects everything and yields an empty list.
 * Throws ValueError. Source: the label and selector page of the Kubernetes documentation.
 */
export function parseLabelSelector(text: string): readonly LabelRequirement[] {
  const words = tokenize(text);
  if (words.length === 0) return [];
  const reader = new SelectorReader(words);
  const requirements = [reader.requirement()];
  while (reader.take(",")) requirements.push(reader.requirement());
  reader.expectEnd();
  return requirements;
}

interface Word {
  readonly text: string;
  readonly symbol: boolean;
}

function tokenize(text: string): readonly Word[] {
  const trimmed = text.trimEnd();
  const words: Word[] = [];
  token.lastIndex = 0;
  while (token.lastIndex < trimmed.length) {
    const [, symbol, word] = token.exec(trimmed) ?? [];
    words.push({ text: symbol ?? word ?? "", symbol: symbol !== undefined });
  }
  return words;
}

class SelectorReader {
  readonly #words: readonly Word[];
  #at = 0;

  constructor(words: readonly Word[]) {
    this.#words = words;
  }

  /** Steps over the given symbol if it comes next. */
  take(symbol: string): boolean {
    const next = this.#words[this.#at];
    if (next?.symbol !== true || next.text !== symbol) return false;
    this.#at++;
    return true;
  }

  requirement(): LabelRequirement {
    const negated = this.take("!");
    const key = labelKey(this.#word("a label key"));
    if (negated) return { key, operator: "not-exists", values: [] };
    if (this.take("=") || this.take("==")) return { key, operator: "in", values: [this.#value()] };
    if (this.take("!=")) return { key, operator: "not-in", values: [this.#value()] };
    if (this.take(">")) return { key, operator: "greater", values: [this.#integer()] };
    if (this.take("<")) return { key, operator: "less", values: [this.#integer()] };
    if (this.#takeWord("in")) return { key, operator: "in", values: this.#set() };
    if (this.#takeWord("notin")) return { key, operator: "not-in", values: this.#set() };
    return { key, operator: "exists", values: [] };
  }

  expectEnd(): void {
    const next = this.#words[this.#at];
    if (next !== undefined) throw new ValueError(`found ${goQuote(next.text)}, expected a comma or the end`);
  }

  #word(expected: string): string {
    const next = this.#words[this.#at];
    if (next === undefined || next.symbol) {
      throw new ValueError(`found ${next === undefined ? "the end" : goQuote(next.text)}, expected ${expected}`);
    }
    this.#at++;
    return next.text;
  }

  #takeWord(word: string): boolean {
    const next = this.#words[this.#at];
    if (next === undefined || next.symbol || next.text !== word) return false;
    this.#at++;
    return true;
  }

  /** A value may be left out, which means an empty one. */
  #value(): string {
    const next = this.#words[this.#at];
    if (next === undefined || next.symbol) return "";
    this.#at++;
    return labelValue(next.text);
  }

  #integer(): string {
    const value = this.#word("an integer");
    if (!/^-?\d+$/.test(value)) throw new ValueError(`${goQuote(value)} is not an integer, which "<" and ">" ask for`);
    return value;
  }

  #set(): readonly string[] {
    if (!this.take("(")) throw new ValueError('expected "(" after in or notin');
    const values = [this.#value()];
    while (this.take(",")) values.push(this.#value());
    if (!this.take(")")) throw new ValueError('expected ")" at the end of a set of values');
    return values;
  }
}

function labelKey(key: string): string {
  const slash = key.indexOf("/");
  const prefix = key.slice(0, Math.max(slash, 0));
  if (slash !== -1 && (prefix.length > prefixMaxLength || !dnsSubdomain.test(prefix))) {
    throw new ValueError(`label key ${goQuote(key)}: the part before the slash must be a lower-case DNS name`);
  }
  const name = key.slice(slash + 1);
  if (name.length > nameMaxLength || !labelName.test(name)) {
    throw new ValueError(
      `label key ${goQuote(key)}: a name is 1 to 63 letters, digits, '-', '_' or '.', and starts and ends with a letter or digit`,
    );
  }
  return key;
}

function labelValue(value: string): string {
  if (value.length > nameMaxLength || !labelName.test(value)) {
    throw new ValueError(
      `label value ${goQuote(value)}: a value is up to 63 letters, digits, '-', '_' or '.', and starts and ends with a letter or digit`,
    );
  }
  return value;
}

import { ValueError } from "./value-error.ts";

/**
 * Reads one value of a list flag: comma-separated fields, a field in double quotes may hold commas and `""` for a quote.
 * An empty text is an empty list; `[]` is one element of that spelling, since brackets have no meaning on input.
 * Throws ValueError with the texts of Go's encoding/csv, whose columns count bytes from 1.
 */
export function parseStringSlice(text: string): readonly string[] {
  if (text === "") return [];
  const fields: string[] = [];
  for (let at = 0; at <= text.length; ) {
    const field = text[at] === '"' ? quotedField(text, at) : plainField(text, at);
    fields.push(field.value);
    at = field.next;
  }
  return fields;
}

/** Writes a list so that parseStringSlice reads the same one. A single empty element needs its quotes to be seen. */
export function formatStringSlice(values: readonly string[]): string {
  if (values.length === 1 && values[0] === "") return '""';
  return values.map((value) => (/[",]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(",");
}

/** `next` is where the following field starts; past the text's end there is none. */
interface Field {
  readonly value: string;
  readonly next: number;
}

function plainField(text: string, start: number): Field {
  const comma = text.indexOf(",", start);
  const end = comma === -1 ? text.length : comma;
  const value = text.slice(start, end);
  const quote = value.indexOf('"');
  if (quote !== -1) throw parseError(text, start + quote, 'bare " in non-quoted-field');
  return { value, next: end + 1 };
}

function quotedField(text: string, start: number): Field {
  let value = "";
  for (let at = start + 1; ; ) {
    const quote = text.indexOf('"', at);
    if (quote === -1) throw parseError(text, text.length, 'extraneous or missing " in quoted-field');
    value += text.slice(at, quote);
    const following = text[quote + 1];
    if (following === undefined || following === ",") return { value, next: quote + 2 };
    if (following !== '"') throw parseError(text, quote, 'extraneous or missing " in quoted-field');
    value += '"';
    at = quote + 2;
  }
}

function parseError(text: string, index: number, problem: string): ValueError {
  const column = Buffer.byteLength(text.slice(0, index)) + 1;
  return new ValueError(`parse error on line 1, column ${column}: ${problem}`);
}

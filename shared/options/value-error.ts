/** A flag's value that its type does not take. The message is the one Go's parser of that type gives. */
export class ValueError extends Error {
  override readonly name = "ValueError";
}

const shortEscapes: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};

/** Quotes text as Go's `%q` does, for the error texts that have it. */
export function goQuote(text: string): string {
  const body = text.replace(
    /["\\\x00-\x1f\x7f]/g,
    (char) => shortEscapes[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `"${body}"`;
}

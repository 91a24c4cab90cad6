import { goQuote, ValueError } from "./value-error.ts";

/**
 * Reads `key=value&key=value` as Go's url.ParseQuery does: percent escapes, `+` for a space, empty parts skipped, order
 * kept. Escapes that are no UTF-8 become replacement characters. Throws ValueError with Go's texts; a `;` is an error.
 */
export function parseGoQuery(text: string): readonly (readonly [key: string, value: string])[] {
  return text
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      if (part.includes(";")) throw new ValueError("invalid semicolon separator in query");
      const equals = part.indexOf("=");
      if (equals === -1) return [unescapeComponent(part), ""] as const;
      return [unescapeComponent(part.slice(0, equals)), unescapeComponent(part.slice(equals + 1))] as const;
    });
}

function unescapeComponent(text: string): string {
  const [broken] = /%(?![0-9a-f]{2}).{0,2}/is.exec(text) ?? [];
  if (broken !== undefined) throw new ValueError(`invalid URL escape ${goQuote(broken)}`);
  const spaced = text.replaceAll("+", " ");
  return spaced.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) =>
    Buffer.from(escapes.replaceAll("%", ""), "hex").toString("utf8"),
  );
}

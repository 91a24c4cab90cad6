import { goQuote, ValueError } from "./value-error.ts";

const trueTexts = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const falseTexts = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/** Decimal, hexadecimal, binary or octal (`0o17`, `017`); an underscore may stand between digits and after a prefix. */
const baseZeroInteger = /^([+-]?)(0x(?:_?[0-9a-f])+|0b(?:_?[01])+|0o?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)$/i;
const decimalFloat = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const maxFloat32 = 3.4028234663852886e38;
const maxInt32 = 2 ** 31 - 1;

/** Reads a boolean as Go's strconv.ParseBool does. Throws ValueError. */
export function parseGoBool(text: string): boolean {
  if (trueTexts.has(text)) return true;
  if (falseTexts.has(text)) return false;
  throw numberError("ParseBool", text, "invalid syntax");
}

/**
 * Reads an integer with Go's base 0: the prefix tells the base. Throws ValueError.
 * The range is that of a safe integer, which is narrower than Go's int64; no flag has a use for more.
 */
export function parseGoInt(text: string): number {
  const [, sign, digits] = baseZeroInteger.exec(text) ?? [];
  if (digits === undefined) throw numberError("ParseInt", text, "invalid syntax");
  const plain = digits.replaceAll("_", "");
  const magnitude = Number(/^0[0-7]/.test(plain) ? `0o${plain.slice(1)}` : plain);
  if (!Number.isSafeInteger(magnitude)) throw numberError("ParseInt", text, "value out of range");
  return sign === "-" && magnitude !== 0 ? -magnitude : magnitude;
}

/** Reads a decimal 32-bit integer, as klog reads `-v`. Throws ValueError. */
export function parseGoInt32(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw numberError("ParseInt", text, "invalid syntax");
  const value = Number(text);
  if (value > maxInt32 || value < -maxInt32 - 1) throw numberError("ParseInt", text, "value out of range");
  return value === 0 ? 0 : value;
}

/**
 * Reads a decimal number and rounds it to 32 bits. Throws ValueError.
 * Left out of what Go takes: hexadecimal mantissas, infinities and NaN, which mean nothing as a rate.
 */
export function parseGoFloat32(text: string): number {
  if (!decimalFloat.test(text)) throw numberError("ParseFloat", text, "invalid syntax");
  const value = Math.fround(Number(text));
  if (Math.abs(value) > maxFloat32) throw numberError("ParseFloat", text, "value out of range");
  return value;
}

/** Writes the shortest decimal that reads back as the same 32-bit number. */
export function formatFloat32(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return String(shorter);
  }
  return String(value);
}

function numberError(parser: string, text: string, problem: string): ValueError {
  return new ValueError(`strconv.${parser}: parsing ${goQuote(text)}: ${problem}`);
}

import { goQuote, ValueError } from "./value-error.ts";

const nanosecondsOf: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  "\u00b5s": 1_000n, // micro sign
  "\u03bcs": 1_000n, // Greek letter mu
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const second = 1_000_000_000n;
const maxNanoseconds = 2n ** 63n - 1n;

/** The longest delay that Node's timers take, about 24.8 days; past it they would fire at once. */
export const maxTimerMs = 2 ** 31 - 1;

/**
 * Reads a Go duration (`1h0m0s`, `100ms`, `1.5s`, `-2s`, `0`) into nanoseconds.
 * Throws ValueError with the texts of Go's time.ParseDuration.
 */
export function parseGoDuration(text: string): bigint {
  const negative = text.startsWith("-");
  let rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return 0n;
  if (rest === "") throw invalid(text);
  let total = 0n;
  while (rest !== "") {
    const [number, whole = "", fraction = ""] = /^(\d*)(?:\.(\d*))?/.exec(rest) ?? [""];
    if (whole === "" && fraction === "") throw invalid(text);
    rest = rest.slice(number.length);
    const [unit] = /^[^.\d]+/.exec(rest) ?? [];
    if (unit === undefined) throw new ValueError(`time: missing unit in duration ${goQuote(text)}`);
    const scale = Object.hasOwn(nanosecondsOf, unit) ? nanosecondsOf[unit] : undefined;
    if (scale === undefined) {
      throw new ValueError(`time: unknown unit ${goQuote(unit)} in duration ${goQuote(text)}`);
    }
    rest = rest.slice(unit.length);
    total += BigInt(whole) * scale + (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length);
  }
  if (total > maxNanoseconds) throw invalid(text);
  return negative ? -total : total;
}

/** Writes nanoseconds as Go prints a duration: `1h0m0s`, `1.5s`, `100ms`, `0s`. */
export function formatGoDuration(nanoseconds: bigint): string {
  const sign = nanoseconds < 0n ? "-" : "";
  const magnitude = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  if (magnitude === 0n) return "0s";
  if (magnitude < 1_000n) return `${sign}${magnitude}ns`;
  if (magnitude < 1_000_000n) return `${sign}${decimal(magnitude, 1_000n)}\u00b5s`;
  if (magnitude < second) return `${sign}${decimal(magnitude, 1_000_000n)}ms`;
  const minutes = magnitude / (60n * second);
  const seconds = `${decimal(magnitude % (60n * second), second)}s`;
  if (minutes === 0n) return `${sign}${seconds}`;
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`;
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/**
 * Whole milliseconds for a timer: rounded up, so that a short duration does not become none,
 * and at most `maxTimerMs`, so that a very long one does not become none either.
 */
export function toTimerMs(nanoseconds: bigint): number {
  const milliseconds = nanoseconds > 0n ? (nanoseconds + 999_999n) / 1_000_000n : nanoseconds / 1_000_000n;
  return Math.min(Number(milliseconds), maxTimerMs);
}

/** `value / scale` without trailing zeros. */
function decimal(value: bigint, scale: bigint): string {
  const digits = String(scale).length - 1;
  const fraction = String(value % scale)
    .padStart(digits, "0")
    .replace(/0+$/, "");
  return fraction === "" ? `${value / scale}` : `${value / scale}.${fraction}`;
}

function invalid(text: string): ValueError {
  return new ValueError(`time: invalid duration ${goQuote(text)}`);
}

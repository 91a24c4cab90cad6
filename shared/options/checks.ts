import { UsageError } from "../errors.ts";
import { formatGoDuration } from "./go-duration.ts";

/** An empty host means all interfaces. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const portMax = 65535;

/** The limits of header values, in bytes. */
export const idMaxBytes = 253;
export const identifiersMaxBytes = 4096;

/** Puts `prefix` before the message of a UsageError that `check` throws. */
export function withPrefix<Result>(prefix: string, check: () => Result): Result {
  try {
    return check();
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${prefix}${error.message}`);
    throw error;
  }
}

/** Throws UsageError for a queue length that holds nothing. */
export function requireChannelSize(size: number): void {
  if (size <= 0) throw new UsageError(`channel size ${size} must be greater than 0`);
}

/** Throws UsageError if contention profiling is asked for alone. */
export function requireProfilingPair(contention: boolean, profiling: boolean): void {
  if (contention && !profiling) {
    throw new UsageError("if --enable-contention-profiling is set, --enable-profiling must also be set");
  }
}

/** Throws UsageError for a port that TCP does not have. */
export function requirePort(flag: string, port: number): void {
  if (port > portMax) throw new UsageError(`--${flag} must be at most ${portMax}, got ${port}`);
}

/** Throws UsageError for a duration that is 0 or less. */
export function requirePositive(flag: string, nanoseconds: bigint): void {
  if (nanoseconds > 0n) return;
  throw new UsageError(`--${flag} must be greater than 0, got ${formatGoDuration(nanoseconds)}`);
}

/** Throws UsageError for a duration below 0, which stands for none. */
export function requireNotNegative(flag: string, nanoseconds: bigint): void {
  if (nanoseconds >= 0n) return;
  throw new UsageError(`--${flag} must be 0 or greater, got ${formatGoDuration(nanoseconds)}`);
}

const limitMax = 1_000_000;

/** Throws UsageError for a limit that leaves room for nothing, or for more than HTTP/2 can count on one connection. */
export function requireLimit(flag: string, value: number): void {
  requireWithin(flag, value, { min: 1, max: limitMax });
}

/** Throws UsageError for a number outside of the range, whose ends belong to it. */
export function requireWithin(
  flag: string,
  value: number,
  { min, max }: { readonly min: number; readonly max: number },
): void {
  if (value >= min && value <= max) return;
  throw new UsageError(`--${flag} must be from ${min} to ${max}, got ${value}`);
}

/** Throws UsageError for a text that cannot travel as a header's value, or is longer than peers take. */
export function requireHeaderText(flag: string, text: string, maxBytes: number): void {
  if (text.length > maxBytes || !/^[\x20-\x7e]*$/.test(text)) {
    throw new UsageError(`--${flag} must be printable ASCII of at most ${maxBytes} bytes`);
  }
}

/** A host as Node's net and tls take it: an IPv6 address without its brackets. */
export function bareHost(host: string): string {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}

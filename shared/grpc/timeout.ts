import { GrpcCode, GrpcError } from "./status.ts";

const unitMs = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 } as const;

/** The longest delay that a Node timer keeps; a longer deadline is as good as this one (24.8 days). */
export const timerMaxMs = 2 ** 31 - 1;

/** Writes milliseconds as a `grpc-timeout`: at most eight digits, rounded up, never negative. */
export function encodeTimeout(timeoutMs: number): string {
  const wholeMs = Math.max(0, Math.ceil(timeoutMs));
  if (wholeMs < 1e8) return `${wholeMs}m`;
  const seconds = Math.ceil(wholeMs / 1000);
  if (seconds < 1e8) return `${seconds}S`;
  return `${Math.min(Math.ceil(seconds / 3600), 99_999_999)}H`;
}

/** Reads a `grpc-timeout` into milliseconds, at most `timerMaxMs`. Throws GrpcError INTERNAL if it is malformed. */
export function decodeTimeout(text: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  if (match === null) throw new GrpcError(GrpcCode.INTERNAL, "malformed grpc-timeout");
  const ms = Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
  return Math.min(Math.ceil(ms), timerMaxMs);
}

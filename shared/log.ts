import { openSync, writeSync } from "node:fs";
import pino, { type DestinationStream, type Logger } from "pino";
import { UsageError } from "./errors.ts";

export type Log = Logger;
export type LogFormat = "json" | "text";

/** klog's verbosity as levels: 0 to 4 is info (4 is the reference's default), 5 debug, above trace. */
export function levelOfVerbosity(verbosity: number): "info" | "debug" | "trace" {
  if (verbosity <= 4) return "info";
  return verbosity === 5 ? "debug" : "trace";
}

/** A log that drops everything, for tests and for parts used as a library. */
export const silentLog: Log = pino({ level: "silent" });

export interface LogOptions {
  readonly format: LogFormat;
  /** klog's: 0 to 4 is info, 5 debug, more is trace. */
  readonly verbosity: number;
  readonly file: string | undefined;
  readonly stderr: boolean;
}

/**
 * Opens the process's log. One line an event: as JSON, or as `time level message key=value ...`.
 * Writes are synchronous, so that the last line before an exit is not lost. Throws UsageError if the file cannot be written.
 */
export function openLog(options: LogOptions): Log {
  const destinations: DestinationStream[] = options.stderr ? [pino.destination({ fd: 2, sync: true })] : [];
  if (options.file !== undefined) destinations.push(openFile(options.file));
  const write = (line: string) => {
    const text = options.format === "json" ? line : textLine(line);
    for (const destination of destinations) destination.write(text);
  };
  return pino(
    {
      level: levelOfVerbosity(options.verbosity),
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.err },
    },
    { write },
  );
}

/** Lines that a full disk does not take are lost, which standard error is told once each time: a tunnel is worth more than its log. */
function openFile(file: string): DestinationStream {
  let fd: number;
  try {
    fd = openSync(file, "a");
  } catch (cause) {
    throw new UsageError(`--log-file ${file} cannot be written: ${(cause as Error).message}`, { cause });
  }
  let isLosing = false;
  const write = (line: string) => {
    try {
      writeSync(fd, line);
      isLosing = false;
    } catch (error) {
      if (!isLosing) process.stderr.write(`--log-file ${file}: lines are lost: ${(error as Error).message}\n`);
      isLosing = true;
    }
  };
  return { write };
}

/**
 * Turns one JSON line into `time LEVEL message key=value`; values that hold spaces, quotes or control characters are quoted as
 * JSON. Peers choose some of the values, and a person's terminal would obey what it finds there.
 */
function textLine(line: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${textValue(value)}`);
  if (err !== undefined) pairs.push(`err=${textValue((err as { message?: unknown }).message ?? err)}`);
  return `${[time, String(level).toUpperCase(), msg, ...pairs].join(" ")}\n`;
}

function textValue(value: unknown): string {
  if (typeof value === "string" && /^[^\s"=\p{Cc}]+$/u.test(value)) return value;
  return JSON.stringify(value).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped);
}

/** JSON itself escapes only the control characters below the space. */
const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

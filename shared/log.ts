import pino, { type DestinationStream, type Logger } from "pino";

export type Log = Logger;
export type LogFormat = "json" | "text";

/** klog's verbosity as levels: 0 to 4 is info (4 is the reference's default), 5 debug, above trace. */
export function levelOfVerbosity(verbosity: number): "info" | "debug" | "trace" {
  if (verbosity <= 4) return "info";
  return verbosity === 5 ? "debug" : "trace";
}

/** A log that drops everything, for tests and for parts used as a library. */
export const silentLog: Log = pino({ level: "silent" });

/**
 * Opens the process's log. One line an event: as JSON, or as `time level message key=value ...`.
 * Writes are synchronous, so that the last line before an exit is not lost.
 */
export function openLog(options: {
  readonly format: LogFormat;
  readonly verbosity: number;
  /** Where lines go; standard error when left out. */
  readonly destination?: DestinationStream;
}): Log {
  const destination = options.destination ?? pino.destination({ fd: 2, sync: true });
  return pino(
    {
      level: levelOfVerbosity(options.verbosity),
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.err },
    },
    options.format === "json" ? destination : { write: (line: string) => destination.write(textLine(line)) },
  );
}

/** Turns one JSON line into `time LEVEL message key=value`; values that hold spaces or quotes are quoted as JSON. */
function textLine(line: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${textValue(value)}`);
  if (err !== undefined) pairs.push(`err=${textValue((err as { message?: unknown }).message ?? err)}`);
  return `${[time, String(level).toUpperCase(), msg, ...pairs].join(" ")}\n`;
}

function textValue(value: unknown): string {
  if (typeof value === "string" && /^[^\s"=]+$/.test(value)) return value;
  return JSON.stringify(value);
}

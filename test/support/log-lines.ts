import pino from "pino";
import type { Log } from "../../shared/log.ts";

/** A log whose lines a test reads. */
export class LogLines {
  readonly #lines: { readonly level: string; readonly msg: string }[] = [];
  readonly log: Log = pino(
    { level: "trace", base: null, formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => void this.#lines.push(JSON.parse(line)) },
  );

  /** The messages of one level, in order. */
  of(level: "debug" | "info" | "warn" | "error"): readonly string[] {
    return this.#lines.filter((line) => line.level === level).map(({ msg }) => msg);
  }
}

import { UsageError } from "../errors.ts";
import type { LogOptions } from "../log.ts";
import { type FlagDefinition, type FlagStatus, type FlagTable, type FlagValues, works } from "./flag.ts";

const group = "Logging";

function noOp(reason: string): FlagStatus {
  return { kind: "no-op", reason };
}

const stderrThreshold = noOp("with a log file, standard error gets every line or none (--alsologtostderr)");
const oneLine = noOp("every line has the same fields");
const goSource = noOp("it addresses lines of Go source");

/** klog's flags, `--log-format`, help and version: what both halves take besides their own. */
export const commonFlags = {
  v: {
    type: "level",
    default: "4",
    group,
    help: "How much to log: 0 to 4 is info, 5 adds debug, 6 and more adds trace.",
    status: works,
    shorthand: "v",
  },
  "log-format": { type: "string", default: "json", group, help: "json or text; one line an event.", status: works },
  logtostderr: {
    type: "bool",
    default: "true",
    group,
    help: "Log to standard error only; --log-file is then ignored.",
    status: works,
  },
  alsologtostderr: {
    type: "bool",
    default: "false",
    group,
    help: "With --logtostderr=false, log to standard error as well as to the file.",
    status: works,
  },
  "log-file": {
    type: "string",
    default: "",
    group,
    help: "With --logtostderr=false, the file to append to. Without one, lines go to standard error.",
    status: works,
  },
  "log-dir": {
    type: "string",
    default: "",
    group,
    help: "Directory for log files.",
    status: noOp("name the file with --log-file"),
  },
  "log-file-max-size": {
    type: "int",
    default: "1800",
    group,
    help: "Size in MB at which the log file starts anew.",
    status: noOp("the file grows until something outside rotates it"),
  },
  stderrthreshold: {
    type: "string",
    default: "2",
    group,
    help: "Severity from which lines also go to standard error.",
    status: stderrThreshold,
  },
  alsologtostderrthreshold: {
    type: "string",
    default: "0",
    group,
    help: "Severity from which --alsologtostderr acts.",
    status: stderrThreshold,
  },
  "legacy-stderr-threshold-behavior": {
    type: "bool",
    default: "true",
    group,
    help: "Ignore --stderrthreshold while --logtostderr is set.",
    status: stderrThreshold,
  },
  vmodule: { type: "string", default: "", group, help: "Verbosity by source file.", status: goSource },
  "log-backtrace-at": {
    type: "string",
    default: "",
    group,
    help: "Source line at which to log a stack trace.",
    status: goSource,
  },
  "add-dir-header": {
    type: "bool",
    default: "false",
    group,
    help: "Log the directory of the source file.",
    status: goSource,
  },
  "skip-headers": { type: "bool", default: "false", group, help: "Log lines without header.", status: oneLine },
  "skip-log-headers": { type: "bool", default: "false", group, help: "Log files without header.", status: oneLine },
  "one-output": {
    type: "bool",
    default: "false",
    group,
    help: "Log each line at its own severity only.",
    status: noOp("there is one log, not one for each severity"),
  },
  help: {
    type: "bool",
    default: "false",
    group: "Other",
    help: "Print this text and exit.",
    status: works,
    shorthand: "h",
  },
  version: { type: "bool", default: "false", group: "Other", help: "Print the version and exit.", status: works },
} as const satisfies FlagTable;

/** Asks for an answer instead of a run; not among a run's flag values. */
export const answerFlags: ReadonlySet<string> = new Set(["help", "version"]);

/** Throws UsageError for an unknown format. */
export function readLogOptions(values: FlagValues<typeof commonFlags>): LogOptions {
  const format = values["log-format"];
  if (format !== "json" && format !== "text") {
    throw new UsageError(`--log-format must be json or text, got "${format}"`);
  }
  const file = values.logtostderr || values["log-file"] === "" ? undefined : values["log-file"];
  return { format, verbosity: values.v, file, stderr: file === undefined || values.alsologtostderr };
}

/** One line if the log does not go where the flags name a file. */
export function logNotices(values: FlagValues<typeof commonFlags>): readonly string[] {
  if (values["log-file"] === "" || !values.logtostderr) return [];
  return ["--log-file is ignored, since --logtostderr is true; the log goes to standard error"];
}

/** What both halves do while a connection has ended on one side only. */
export const halfCloseTimeoutFlag = {
  type: "duration",
  default: "60s",
  group: "Limits",
  help: "After one side has ended its direction, how long the other may stay without a byte before the connection ends.",
  status: works,
} as const satisfies FlagDefinition;

/** What both halves take; each shows it among its own limits. */
export const heldBytesFlag = {
  type: "int",
  default: "512",
  group: "Limits",
  help: "MiB that this process may hold for connections; past that the largest of those whose reader has stopped is reset.",
  status: works,
} as const satisfies FlagDefinition;

export const heldBytesOf = (values: { readonly "max-held-mib": number }): number =>
  values["max-held-mib"] * 1024 * 1024;

export const httpGroup = "Health and admin";

export const profilingFlags = {
  "enable-profiling": {
    type: "bool",
    default: "false",
    group: httpGroup,
    help: "Serve profiles at /debug/pprof/ of the admin listener.",
    status: works,
  },
  "enable-contention-profiling": {
    type: "bool",
    default: "false",
    group: httpGroup,
    help: "Serve profiles of blocking; needs --enable-profiling.",
    status: noOp("Node's one thread waits for no lock"),
  },
} as const satisfies FlagTable;

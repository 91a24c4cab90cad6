import { UsageError } from "./errors.ts";
import type { Log } from "./log.ts";

export type ExitCode = 0 | 1;

const endingSignals = ["SIGTERM", "SIGINT"] as const;

/** Signals, as the two mains see them. */
export interface Signals {
  /** Resolves at the first SIGTERM or SIGINT. */
  readonly first: Promise<NodeJS.Signals>;
  /** Resolves at the second. */
  readonly second: Promise<NodeJS.Signals>;
  stop(): void;
}

/** Listens for SIGTERM and SIGINT until `stop` is called. */
export function watchSignals(): Signals {
  const resolvers: ((signal: NodeJS.Signals) => void)[] = [];
  const promises = [0, 1].map(() => new Promise<NodeJS.Signals>((resolve) => resolvers.push(resolve)));
  const receive = (signal: NodeJS.Signals) => resolvers.shift()?.(signal);
  for (const name of endingSignals) process.on(name, receive);
  return {
    first: promises[0] as Promise<NodeJS.Signals>,
    second: promises[1] as Promise<NodeJS.Signals>,
    stop: () => {
      for (const name of endingSignals) process.off(name, receive);
    },
  };
}

/** From now on SIGTERM and SIGINT do nothing. */
export function ignoreSignals(): void {
  for (const name of endingSignals) process.on(name, () => {});
}

/** What a main prints before there is a log: one line on standard error. */
export function reportStartFailure(program: string, error: unknown): ExitCode {
  const message = error instanceof UsageError ? error.message : ((error as Error).stack ?? String(error));
  process.stderr.write(`${program}: ${message}\n`);
  return 1;
}

/**
 * Resolves when an error was thrown that nobody caught: the process is to end then, with one log line, instead of living on
 * half dead; an orchestrator starts it again.
 */
export function watchDefects(log: Log): Promise<void> {
  return new Promise((resolve) => {
    const report = (error: unknown) => {
      log.fatal({ err: error, stack: (error as Error)?.stack }, "unexpected error; the process ends");
      resolve();
    };
    process.on("uncaughtException", report);
    process.on("unhandledRejection", report);
  });
}

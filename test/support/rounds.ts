import { type TestContext, test } from "vitest";

declare module "vitest" {
  interface TaskMeta {
    /** What a round measured, in seconds or as a count. */
    figures?: Record<string, number>;
  }
}

/** Takes what a round measured: a time in seconds, or a count. It is printed, and goes into the table of a soak. */
export type Report = (what: string, value: number) => void;

/** The same test so many times, beside each other as far as vitest lets them; one that measures a rate runs `alone`. */
export function rounds(
  title: string,
  options: { readonly times: number; readonly timeoutMs: number; readonly alone?: boolean },
  body: (report: Report) => Promise<void>,
): void {
  for (let round = 1; round <= options.times; round++) {
    const timeout = options.timeoutMs;
    const run = options.alone ? test : test.concurrent;
    run(`${title} (${round} of ${options.times})`, { timeout }, ({ task }) => body(reportOf(title, task)));
  }
}

/** A test whose figures are worth something only if no other of its file runs beside. */
export function measured(title: string, timeoutMs: number, body: (report: Report) => Promise<void>): void {
  test(title, { timeout: timeoutMs }, ({ task }) => body(reportOf(title, task)));
}

function reportOf(title: string, task: TestContext["task"]): Report {
  const figures: Record<string, number> = {};
  task.meta.figures = figures;
  return (what, value) => {
    figures[what] = Number(value.toFixed(2));
    process.stdout.write(`figure | ${title} | ${what} | ${figures[what]}\n`);
  };
}

/** A round's title without its number: what its table row is called. */
export const titleOfRounds = (name: string): string => name.replace(/ \(\d+ of \d+\)$/, "");

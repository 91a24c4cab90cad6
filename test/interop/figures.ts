import { type Cell, nameOf } from "./cells.ts";

/** One measured figure as a line of the run's output. */
export function reportFigure(cell: Cell, what: string, value: string): void {
  process.stdout.write(`figure | ${nameOf(cell)} | ${what} | ${value}\n`);
}

/** What the demo writes to: standard output, or a collector in tests. */
export interface Terminal {
  write(text: string): unknown;
  /** Whether what was written can be written over. */
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface TransferProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly elapsedMs: number;
}

const labelWidth = 20;
const lineWidth = 80;
const indent = " ".repeat(8);
const barWidth = 20;
const redrawEveryMs = 100;

const styles = { bold: 1, red: 31, green: 32, dim: 2 } as const;

/** Lays out what the demo tells: headings, lines of `ok  label  result  figure`, and a bar while a transfer runs. */
export class Screen {
  readonly #terminal: Terminal;
  readonly #color: boolean;
  readonly #now: () => number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #barIsUp = false;

  /** Colours only where a person looks at it and has not switched them off (NO_COLOR). `now` in milliseconds. */
  constructor(terminal: Terminal, env: { readonly NO_COLOR?: string | undefined }, now: () => number) {
    this.#terminal = terminal;
    this.#color = terminal.isTTY === true && (env.NO_COLOR ?? "") === "";
    this.#now = now;
  }

  line(text = ""): void {
    this.#clearBar();
    this.#terminal.write(`${text}\n`);
  }

  heading(text: string): void {
    this.line();
    this.line(this.#styled("bold", text));
  }

  /** `detail` goes on a line of its own, being somebody else's words. */
  passed(label: string, result: string, figure: string, detail?: string): void {
    const left = `  ok    ${label.padEnd(labelWidth)}${result}`;
    const gap = Math.max(2, lineWidth - left.length - figure.length);
    const mark = this.#styled("green", "ok");
    this.line(`  ${mark}${left.slice(4)}${" ".repeat(gap)}${this.#styled("dim", figure)}`);
    if (detail !== undefined) this.line(`${indent}${this.#styled("dim", detail)}`);
  }

  failed(label: string, expected: string, came: string): void {
    this.line(`  ${this.#styled("red", "FAIL")}  ${label}`);
    this.line(`${indent}expected  ${expected}`);
    this.line(`${indent}came      ${came}`);
  }

  /** Shows how far a transfer is. Without a terminal nothing: the result follows. */
  progress(label: string, { doneBytes, totalBytes, elapsedMs }: TransferProgress): void {
    if (this.#terminal.isTTY !== true || this.#now() - this.#drawnAt < redrawEveryMs) return;
    this.#drawnAt = this.#now();
    const fraction = Math.min(1, doneBytes / totalBytes);
    const full = Math.round(fraction * barWidth);
    const bar = "█".repeat(full) + "░".repeat(barWidth - full);
    const percent = `${Math.floor(fraction * 100)} %`.padStart(5);
    const text = `${indent}${label.padEnd(labelWidth)}${bar} ${percent}   ${rateText(doneBytes, elapsedMs)}`;
    // A line that wraps could not be written over. A terminal that does not know its width says 0.
    this.#terminal.write(`\r\u001b[K${text.slice(0, (this.#terminal.columns || lineWidth) - 1)}`);
    this.#barIsUp = true;
  }

  #clearBar(): void {
    if (!this.#barIsUp) return;
    this.#barIsUp = false;
    this.#terminal.write("\r\u001b[K");
  }

  #styled(style: keyof typeof styles, text: string): string {
    return this.#color ? `\u001b[${styles[style]}m${text}\u001b[0m` : text;
  }
}

/** Millions of bytes a second. */
export function rateText(bytes: number, elapsedMs: number): string {
  const rate = elapsedMs === 0 ? 0 : bytes / 1000 / elapsedMs;
  return `${rate.toFixed(rate < 10 ? 1 : 0)} MB/s`;
}

export function bytesText(bytes: number): string {
  const mebibytes = bytes / 1024 / 1024;
  return `${Number.isInteger(mebibytes) ? mebibytes : mebibytes.toFixed(1)} MiB`;
}

export function durationText(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

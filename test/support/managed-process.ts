import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Beside what this process has in its own. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

// Past this many lines the oldest are dropped: enough to see what went wrong, bounded under a flood.
const keptLines = 2_000;
const stopWithinMs = 10_000;

// If the test run itself ends early, its children go with it.
const running = new Set<ManagedProcess>();
process.on("exit", () => {
  for (const child of running) child.killIfRunning();
});

/** A child process of a test. It lives until it exits or `stop()` is called. */
export class ManagedProcess {
  readonly name: string;
  /** Resolves when the process has exited and its output is read to the end; rejects if it could not be started. */
  readonly exited: Promise<Exit>;
  /** The newest lines of standard error. */
  readonly stderr: string[] = [];
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #exit = new AbortController();
  readonly #followers: ((line: string) => void)[] = [];

  constructor(name: string, command: Command) {
    this.name = name;
    this.#child = spawn(command.file, command.args, {
      env: { ...process.env, ...command.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    // What is written to a process that has just gone is lost, and its exit is seen elsewhere.
    this.#child.stdin.on("error", () => {});
    createInterface({ input: this.#child.stderr }).on("line", (line) => {
      this.stderr.push(line);
      if (this.stderr.length > keptLines) this.stderr.shift();
      for (const follow of this.#followers) follow(line);
    });
    this.exited = once(this.#child, "close").then((exit) => {
      const [code, signal] = exit as [number | null, NodeJS.Signals | null];
      running.delete(this);
      this.#exit.abort(new Error(`${this.describe()}\nexited with ${signal ?? `code ${code}`}`));
      return { code, signal };
    });
    this.exited.catch((error) => this.#exit.abort(error));
    running.add(this);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start`);
    return this.#child.pid;
  }

  get stdin(): Writable {
    return this.#child.stdin;
  }

  get stdout(): Readable {
    return this.#child.stdout;
  }

  /** Aborts when the process is gone, with its log as reason: a signal for waits that need it alive. */
  get gone(): AbortSignal {
    return this.#exit.signal;
  }

  /** Hands over the lines of standard error that are kept, and then each new one. */
  follow(listener: (line: string) => void): void {
    for (const line of this.stderr) listener(line);
    this.#followers.push(listener);
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  killIfRunning(): void {
    // A process stopped by SIGSTOP dies by SIGKILL as well.
    this.#child.kill("SIGKILL");
  }

  /** Ends the process, whatever it is doing, and resolves when it is gone. Rejects if it outlives SIGKILL by 10 s. */
  async stop(): Promise<void> {
    this.killIfRunning();
    const late = AbortSignal.timeout(stopWithinMs);
    await Promise.race([this.exited, once(late, "abort").then(() => Promise.reject(new Error(`${this.name} stays`)))]);
  }

  openDescriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** With the processes that it has started and that still run. */
  residentBytes(): number {
    return this.#statusBytes("VmRSS");
  }

  /** The most that was resident since the start or `forgetPeak()`; of several processes the sum of what each had at most. */
  peakResidentBytes(): number {
    return this.#statusBytes("VmHWM");
  }

  forgetPeak(): void {
    // proc(5): resets VmHWM to VmRSS.
    for (const pid of family(this.pid)) writeFileSync(`/proc/${pid}/clear_refs`, "5");
  }

  /** User and system time used so far, in milliseconds, by it and by the processes that it has started and that still run. */
  cpuMs(): number {
    return family(this.pid).reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  }

  #statusBytes(name: "VmRSS" | "VmHWM"): number {
    return family(this.pid).reduce((sum, pid) => {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const [, kilobytes] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status) ?? [];
      if (kilobytes === undefined) throw new Error(`${this.name} has no ${name}`);
      return sum + Number(kilobytes) * 1024;
    }, 0);
  }

  describe(): string {
    return `--- last lines of ${this.name} ---\n${this.stderr.slice(-40).join("\n")}`;
  }
}

function cpuMsOf(pid: number): number {
  // Fields 14 and 15 of proc(5) stat, counted behind the command name, which may hold spaces; 100 ticks a second.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** A process and those that it, or one of those, has started and that still run. */
function family(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return [pid, ...children.flatMap((child) => family(Number(child)))];
}

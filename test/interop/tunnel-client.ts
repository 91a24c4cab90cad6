import { writeFileSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { ManagedProcess } from "../support/managed-process.ts";
import type { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { buildClient, type ClientProgram, isApiserver, usualClient } from "./client-programs.ts";
import { egressConfiguration } from "./egress-configuration.ts";

export interface TransferResult {
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly megabytesPerSecond: number;
  readonly digestsEqual: number;
}

export interface ChurnResult {
  readonly dials: number;
  readonly echoed: number;
  readonly cancelled: number;
  readonly tooLate: number;
  readonly refused: number;
  readonly reset: number;
  readonly failed: number;
  readonly perSecond: number;
}

export interface FirstSpeakerResult {
  readonly connections: number;
  readonly complete: number;
  readonly lost: number;
}

export interface EchoResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

export interface HttpResult {
  readonly status: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** What a subcommand printed last. `result` may be there beside an error. */
export interface Outcome<T> {
  readonly ok: boolean;
  readonly result?: T;
  readonly error?: string;
}

/** What the dial of one target came to, beside an error if it failed. */
export interface DialResult {
  readonly seconds: number;
}

export interface ReadToEndResult {
  readonly connections: number;
  readonly complete: number;
}

/** A program built on client/, as a process whose JSON lines can be waited for. */
export class TunnelClient {
  readonly process: ManagedProcess;
  readonly #events: unknown[] = [];
  readonly #lines: Interface;

  private constructor(process: ManagedProcess) {
    this.process = process;
    this.#lines = createInterface({ input: process.stdout });
    this.#lines.on("line", (line) => this.#events.push(JSON.parse(line)));
  }

  /** Builds the program if need be. Rejects with GoMissing without Go. */
  static async start(
    command: string,
    args: readonly string[] = [],
    program: ClientProgram = usualClient,
  ): Promise<TunnelClient> {
    const file = await buildClient(program);
    return new TunnelClient(new ManagedProcess(`${program} ${command}`, { file, args: [command, ...args] }));
  }

  send(line: string): void {
    this.process.stdin.write(`${line}\n`);
  }

  /** All printed objects so far that have `key`, narrowed by the caller. */
  printed<T>(key: keyof T & string): readonly T[] {
    return this.#events.filter((event) => typeof event === "object" && event !== null && key in event) as T[];
  }

  /** Resolves to the object number `index` (from 0) that has `key`; rejects when the process ends or time runs out. */
  async waitFor<T>(key: keyof T & string, index: number, withinMs = 60_000): Promise<T> {
    return until(`${this.process.name}: ${key} number ${index}`, () => this.printed<T>(key)[index], {
      withinMs,
      signal: this.process.gone,
      describe: () => this.process.describe(),
    });
  }

  /** Resolves to the last object when the process has ended by itself. */
  async outcome<T>(): Promise<Outcome<T>> {
    const exit = await this.process.exited;
    // What it holds may end, and say so, after it has said how all of it went.
    const last = this.printed<Outcome<T>>("ok").at(-1);
    if (last === undefined || last.ok !== (exit.code === 0)) {
      throw new Error(`${this.process.name} ended with ${exit.signal ?? exit.code}\n${this.process.describe()}`);
    }
    return last;
  }
}

/** Runs a subcommand through the tunnel's frontend to its end, whatever that is. */
export async function tryClient<T>(
  tunnel: Tunnel,
  command: string,
  args: readonly string[],
  program: ClientProgram = usualClient,
): Promise<Outcome<T>> {
  const client = await TunnelClient.start(command, [...frontendArgs(tunnel, program), ...args], program);
  try {
    return await client.outcome<T>();
  } finally {
    await client.process.stop();
  }
}

/** Runs a subcommand through the tunnel's frontend; rejects with its error if it fails. */
export async function runClient<T>(
  tunnel: Tunnel,
  command: string,
  args: readonly string[],
  program: ClientProgram = usualClient,
): Promise<T> {
  const { ok, result, error } = await tryClient<T>(tunnel, command, args, program);
  if (!ok || result === undefined) {
    throw new Error(`${program} ${command}: ${error}\n${tunnel.describe()}`);
  }
  return result;
}

/** The program's flags for reaching the tunnel's frontend. For an egress selector it writes a file into the tunnel's folder. */
export function frontendArgs(tunnel: Tunnel, program: ClientProgram = usualClient): string[] {
  if (isApiserver(program)) {
    const path = tunnel.workspace.path("egress.json");
    writeFileSync(path, JSON.stringify(egressConfiguration(tunnel)));
    return ["--proto=egress", `--egress-config=${path}`];
  }
  const { frontend } = tunnel.server;
  const { client, frontendCa } = tunnel.workspace.certificates;
  const where =
    frontend.transport === "uds"
      ? [`--uds=${frontend.path}`]
      : [
          `--tcp=${frontend.host}:${frontend.port}`,
          `--cert=${client.cert}`,
          `--key=${client.key}`,
          `--ca=${frontendCa}`,
        ];
  return [`--proto=${program === "konnectivity-client-v0.37.0" ? "reusable" : tunnel.kind.protocol}`, ...where];
}

import { createInterface, type Interface } from "node:readline";
import { buildGo } from "../support/go.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import type { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";

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

/** The Go program in client/, as a process whose JSON lines can be waited for. */
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
  static async start(command: string, args: readonly string[] = []): Promise<TunnelClient> {
    const file = await buildGo({ moduleDir: "test/interop/client", package: ".", out: "tunnel-client" });
    return new TunnelClient(new ManagedProcess(`tunnel-client ${command}`, { file, args: [command, ...args] }));
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
    const last = this.#events.at(-1) as Outcome<T> | undefined;
    if (last?.ok === undefined || last.ok !== (exit.code === 0)) {
      throw new Error(`${this.process.name} ended with ${exit.signal ?? exit.code}\n${this.process.describe()}`);
    }
    return last;
  }
}

/** Runs a subcommand through the tunnel's frontend to its end, whatever that is. */
export async function tryClient<T>(tunnel: Tunnel, command: string, args: readonly string[]): Promise<Outcome<T>> {
  const client = await TunnelClient.start(command, [...frontendArgs(tunnel), ...args]);
  try {
    return await client.outcome<T>();
  } finally {
    await client.process.stop();
  }
}

/** Runs a subcommand through the tunnel's frontend; rejects with its error if it fails. */
export async function runClient<T>(tunnel: Tunnel, command: string, args: readonly string[]): Promise<T> {
  const { ok, result, error } = await tryClient<T>(tunnel, command, args);
  if (!ok || result === undefined) {
    throw new Error(`tunnel-client ${command}: ${error}\n${tunnel.describe()}`);
  }
  return result;
}

/** The client's flags for reaching the tunnel's frontend. */
export function frontendArgs({ server, kind, workspace }: Tunnel): string[] {
  const { frontend } = server;
  const { client, frontendCa } = workspace.certificates;
  const where =
    frontend.transport === "uds"
      ? [`--uds=${frontend.path}`]
      : [
          `--tcp=${frontend.host}:${frontend.port}`,
          `--cert=${client.cert}`,
          `--key=${client.key}`,
          `--ca=${frontendCa}`,
        ];
  return [`--proto=${kind.protocol}`, ...where];
}

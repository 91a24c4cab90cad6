import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { buildKubernetes } from "../support/kube-api-processes.ts";
import { type Command, ManagedProcess } from "../support/managed-process.ts";
import { within } from "../support/within.ts";

const endsWithinMs = 60_000;

export interface KubectlResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface KubectlOptions {
  /** All that it reads; nothing if left out. */
  readonly stdin?: Iterable<Buffer> | string;
  readonly env?: Readonly<Record<string, string>>;
  /** 60 s if left out. */
  readonly withinMs?: number;
}

/** What kubectl speaks with kube-apiserver, and how it is told so. */
export type Wire = readonly [name: string, env: Readonly<Record<string, string>>];

/** The real client, as the administrator. */
export class Kubectl {
  readonly #file: string;
  readonly #env: Readonly<Record<string, string>>;

  readonly #flags: readonly string[];

  private constructor(file: string, env: Readonly<Record<string, string>>, flags: readonly string[] = []) {
    this.#file = file;
    this.#env = env;
    this.#flags = flags;
  }

  /** It keeps what it learns of the API in `home`. */
  static async find(kubeconfig: string, home: string): Promise<Kubectl> {
    return new Kubectl(await buildKubernetes("kubectl"), { KUBECONFIG: kubeconfig, HOME: home });
  }

  /** The same towards another kube-apiserver. */
  at(url: string): Kubectl {
    return new Kubectl(this.#file, this.#env, [`--server=${url}`]);
  }

  command(args: readonly string[], env: Readonly<Record<string, string>> = {}): Command {
    return { file: this.#file, args: [...this.#flags, ...args], env: { ...this.#env, ...env } };
  }

  /** Starts one that goes on until it is stopped. */
  start(args: readonly string[], env?: Readonly<Record<string, string>>): ManagedProcess {
    return new ManagedProcess(`kubectl ${args.join(" ")}`, this.command(args, env));
  }

  /** Runs one to its end; rejects if it does not end in time. */
  async run(args: readonly string[], options: KubectlOptions = {}): Promise<KubectlResult> {
    return runToEnd(this.start(args, options.env), options);
  }

  /** The output of one that succeeds; rejects with what it said otherwise. */
  async output(args: readonly string[], options: KubectlOptions = {}): Promise<Buffer> {
    const { code, stdout, stderr } = await this.run(args, options);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")} exited with ${code}: ${stderr}`);
    return stdout;
  }

  async text(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    return (await this.output(args, options)).toString();
  }
}

/** Feeds a process and takes all its output; rejects if it does not end in time, and ends it. */
export async function runToEnd(
  child: ManagedProcess,
  { stdin = "", withinMs = endsWithinMs }: KubectlOptions = {},
): Promise<KubectlResult> {
  const parts: Buffer[] = [];
  child.stdout.on("data", (part: Buffer) => parts.push(part));
  // One that ends without reading all is judged by how it ends.
  pipeline(Readable.from(typeof stdin === "string" ? [stdin] : stdin), child.stdin).catch(() => {});
  try {
    const { code } = await within(withinMs, child.name, child.exited);
    return { code, stdout: Buffer.concat(parts), stderr: child.stderr.join("\n") };
  } catch (error) {
    throw new Error(`${child.describe()}\n${Buffer.concat(parts.slice(-1)).subarray(-2_000)}`, { cause: error });
  } finally {
    await child.stop();
  }
}

export function digestOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

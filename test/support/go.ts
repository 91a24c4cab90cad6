import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { repositoryRoot } from "./repository-root.ts";

const run = promisify(execFile);

/** There is no `go` that can build our Go parts. What needs them cannot run; that is for the caller to say aloud. */
export class GoMissing extends Error {
  override readonly name = "GoMissing";
  readonly code = "go_missing";
}

export interface GoBuild {
  /** Folder with go.mod, relative to the repository. */
  readonly moduleDir: string;
  /** Import path of a main package, or "." for the module's own. */
  readonly package: string;
  /** Name of a file beside go.mod that takes its place; its sums are in the `.sum` file of the same name. */
  readonly modfile?: string;
  /** Name of the binary. */
  readonly out: string;
}

/**
 * Builds a static binary and resolves to its absolute path. A binary of the same sources, package and Go version is not
 * built again. Rejects with GoMissing without a Go that suits the module, else with what the compiler said.
 */
export async function buildGo(build: GoBuild): Promise<string> {
  const moduleDir = join(repositoryRoot, build.moduleDir);
  const { modfile = "go.mod" } = build;
  const version = await requireGo(build.moduleDir, modfile);
  const cache = join(repositoryRoot, "test/interop/.build");
  const binary = join(cache, `${build.out}-${hashSources(moduleDir, modfile, version, build.package)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(cache, { recursive: true });
  return alone(join(cache, "lock"), () => (existsSync(binary) ? binary : compile(build, binary)));
}

async function compile(build: GoBuild, binary: string): Promise<string> {
  const { modfile = "go.mod" } = build;
  const moduleDir = join(repositoryRoot, build.moduleDir);
  const cache = dirname(binary);
  const unfinished = `${binary}.${process.pid}`;
  // Two packages at once, since a compiler of each may take a gigabyte. Without the symbols of a debugger the link is quicker.
  const frugal = ["-p", "2", "-ldflags", "-s -w"];
  const args = ["build", "-modfile", modfile, "-trimpath", ...frugal, "-o", unfinished, build.package];
  try {
    await run("go", args, { cwd: moduleDir, env: { ...process.env, CGO_ENABLED: "0" } });
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw new Error(`go ${args.join(" ")} in ${build.moduleDir} failed: ${textOf(error)}`, { cause: error });
  }
  renameSync(unfinished, binary);
  // Older ones, and what a build left that was killed.
  for (const name of readdirSync(cache).filter((name) => name.replace(/-[0-9a-f]{16}(\.\d+)?$/, "") === build.out)) {
    if (join(cache, name) !== binary) rmSync(join(cache, name), { force: true });
  }
  return binary;
}

/**
 * Does `work` while nobody else does theirs under this lock file, in whatever process. The file of a process that is gone is
 * taken away; if two do that at the same moment both go on, which costs memory and nothing else.
 */
async function alone<T>(lock: string, work: () => T | Promise<T>): Promise<T> {
  while (!claim(lock)) {
    if (!isHeld(lock)) rmSync(lock, { force: true });
    else await sleep(100);
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function claim(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

function isHeld(lock: string): boolean {
  try {
    process.kill(Number(readFileSync(lock, "utf8")), 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves to the Go version that would build the module; rejects with GoMissing. */
export async function requireGo(moduleDir: string, modfile = "go.mod"): Promise<string> {
  const cwd = join(repositoryRoot, moduleDir);
  try {
    const { stdout } = await run("go", ["list", "-modfile", modfile, "-m", "-f", "{{.GoVersion}}"], { cwd });
    const { stdout: version } = await run("go", ["env", "GOVERSION"], { cwd });
    return `${version.trim()} for ${stdout.trim()}`;
  } catch (error) {
    throw new GoMissing(`no Go that builds ${moduleDir}: ${textOf(error)}`, { cause: error });
  }
}

/** Over what decides the binary: Go files and module files of the module and of the folders that it replaces modules with. */
function hashSources(moduleDir: string, modfile: string, ...also: readonly string[]): string {
  const hash = createHash("sha256");
  for (const text of also) hash.update(`${text}\0`);
  const moduleFiles = [modfile, modfile.replace(/\.mod$/, ".sum")];
  const replaced = readFileSync(join(moduleDir, modfile), "utf8").matchAll(/=> (\.\.?\/\S+)/g);
  for (const folder of [moduleDir, ...[...replaced].map(([, path = ""]) => join(moduleDir, path))]) {
    const names = readdirSync(folder, { encoding: "utf8", recursive: true });
    for (const name of names.filter((name) => name.endsWith(".go") || moduleFiles.includes(name)).sort()) {
      hash.update(`${name}\0`).update(readFileSync(join(folder, name)));
    }
  }
  return hash.digest("hex").slice(0, 16);
}

function textOf(error: unknown): string {
  const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
  return stderr?.trim() || message;
}

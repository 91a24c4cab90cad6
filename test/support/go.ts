import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
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
  /** Name of the binary. */
  readonly out: string;
}

/**
 * Builds a static binary and resolves to its absolute path. A binary of the same sources, package and Go version is not
 * built again. Rejects with GoMissing without a Go that suits the module, else with what the compiler said.
 */
export async function buildGo(build: GoBuild): Promise<string> {
  const moduleDir = join(repositoryRoot, build.moduleDir);
  const version = await requireGo(build.moduleDir);
  const cache = join(repositoryRoot, "test/interop/.build");
  const binary = join(cache, `${build.out}-${hashSources(moduleDir, version, build.package)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(cache, { recursive: true });
  const unfinished = `${binary}.${process.pid}`;
  const args = ["build", "-trimpath", "-o", unfinished, build.package];
  try {
    await run("go", args, { cwd: moduleDir, env: { ...process.env, CGO_ENABLED: "0" } });
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw new Error(`go ${args.join(" ")} in ${build.moduleDir} failed: ${textOf(error)}`, { cause: error });
  }
  for (const name of readdirSync(cache).filter((name) => name.replace(/-[0-9a-f]{16}$/, "") === build.out)) {
    rmSync(join(cache, name), { force: true });
  }
  renameSync(unfinished, binary);
  return binary;
}

/** Resolves to the Go version that would build the module; rejects with GoMissing. */
export async function requireGo(moduleDir: string): Promise<string> {
  try {
    const { stdout } = await run("go", ["list", "-m", "-f", "{{.GoVersion}}"], {
      cwd: join(repositoryRoot, moduleDir),
    });
    const { stdout: version } = await run("go", ["env", "GOVERSION"], { cwd: join(repositoryRoot, moduleDir) });
    return `${version.trim()} for ${stdout.trim()}`;
  } catch (error) {
    throw new GoMissing(`no Go that builds ${moduleDir}: ${textOf(error)}`, { cause: error });
  }
}

function hashSources(moduleDir: string, ...also: readonly string[]): string {
  const hash = createHash("sha256");
  for (const text of also) hash.update(`${text}\0`);
  const sources = readdirSync(moduleDir, { encoding: "utf8", recursive: true });
  for (const name of sources.filter((name) => /\.go$|^go\.(mod|sum)$/.test(name)).sort()) {
    hash.update(`${name}\0`).update(readFileSync(join(moduleDir, name)));
  }
  return hash.digest("hex").slice(0, 16);
}

function textOf(error: unknown): string {
  const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
  return stderr?.trim() || message;
}

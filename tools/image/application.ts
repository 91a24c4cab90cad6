import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../shared/errors.ts";
import { type ImageFile, textFile } from "./image-file.ts";
import { type Half, imageLayout, programPath } from "./image-layout.ts";

/** The parts of package-lock.json, and of npm's own note of what it installed, that are read here. */
interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}
interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
}

const { application } = imageLayout;

/** What both halves run on at run time. Throws UsageError if something else is installed than the lock file says. */
export function productionDependencies(root: string): readonly ImageFile[] {
  const locked = readLock(join(root, "package-lock.json"));
  const installed = readLock(join(root, "node_modules", ".package-lock.json"));
  const files: ImageFile[] = [];
  for (const [path, { version, dev, devOptional }] of Object.entries(locked)) {
    if (path === "" || dev || devOptional) continue;
    const found = installed[path]?.version;
    if (found !== version) {
      throw new UsageError(`${path} is ${found ?? "missing"} where package-lock.json has ${version}: run npm ci`);
    }
    files.push(...filesBelow(root, path, (name) => name !== "node_modules"));
  }
  return files;
}

function readLock(path: string): Readonly<Record<string, LockedPackage>> {
  if (!existsSync(path)) throw new UsageError(`${path} is missing: run npm ci`);
  return (JSON.parse(readFileSync(path, "utf8")) as Lock).packages;
}

/** What both halves share of the built tree. Throws UsageError where nothing is built. */
export function sharedBuild(root: string): readonly ImageFile[] {
  if (!existsSync(join(root, "dist", ".built"))) {
    throw new UsageError(`${join(root, "dist")} is not built: run npm run build`);
  }
  return [
    ...["package.json", "LICENSE"].map((name) => fileOf(root, name)),
    ...imageLayout.shared.flatMap((folder) => builtFiles(root, folder)),
  ];
}

/** One half of the built tree, and the program that starts it, which needs no shell and no `env`. */
export function halfBuild(root: string, half: Half): readonly ImageFile[] {
  const main = `${application}/dist/${half}/bin.js`;
  const program = `#!${imageLayout.node}\nimport("${main}");\n`;
  return [...builtFiles(root, half), textFile(programPath(half), program, 0o755)];
}

/** Without source maps: there are no sources for them to point to. */
function builtFiles(root: string, folder: string): readonly ImageFile[] {
  return filesBelow(root, `dist/${folder}`, (name) => !name.endsWith(".map"));
}

/** `takes` decides by the bare name of a file or folder. */
function filesBelow(root: string, folder: string, takes: (name: string) => boolean): readonly ImageFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => takes(name))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesBelow(root, path, takes) : [fileOf(root, path)];
    });
}

/** Whether a file can be executed is part of it; the rest of its mode is whatever the umask was here. */
function fileOf(root: string, path: string): ImageFile {
  const isExecutable = (statSync(join(root, path)).mode & 0o100) !== 0;
  return {
    kind: "file",
    path: `${application}/${path}`,
    mode: isExecutable ? 0o755 : 0o644,
    content: readFileSync(join(root, path)),
  };
}

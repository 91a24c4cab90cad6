// Lays out what is Hawser's in an image, for deploy/docker/Dockerfile: `node dist/tools/image/lay-out.js FOLDER`
// makes FOLDER/common, and FOLDER/server and FOLDER/agent to be put over it.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../../shared/errors.ts";
import { reportStartFailure } from "../../shared/process.ts";
import { halfBuild, productionDependencies, sharedBuild } from "./application.ts";
import type { ImageFile } from "./image-file.ts";
import { halves } from "./image-layout.ts";
import { repositoryRoot } from "./repository-root.ts";

try {
  layOut(process.argv.slice(2));
} catch (error) {
  process.exitCode = reportStartFailure("lay-out", error);
}

function layOut(argv: readonly string[]): void {
  const [folder, ...rest] = argv;
  if (folder === undefined || rest.length > 0) throw new UsageError("needs one argument, the folder to write to");
  write(join(folder, "common"), [...productionDependencies(repositoryRoot), ...sharedBuild(repositoryRoot)]);
  for (const half of halves) write(join(folder, half), halfBuild(repositoryRoot, half));
}

function write(folder: string, files: readonly ImageFile[]): void {
  for (const file of files) {
    const path = join(folder, file.path);
    mkdirSync(file.kind === "folder" ? path : dirname(path), { recursive: true });
    if (file.kind === "file") writeFileSync(path, file.content);
    chmodSync(path, file.mode);
  }
}

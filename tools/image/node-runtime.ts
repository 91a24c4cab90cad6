import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../../shared/errors.ts";
import { type ImageFile, textFile } from "./image-file.ts";
import { imageLayout } from "./image-layout.ts";

/** Programs look names up through these, which they load by name, and so ldd does not show them. Newer libraries have them built in. */
const nameServiceLibraries = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];

const { uid, home } = imageLayout.user;
const systemFiles: readonly ImageFile[] = [
  textFile(
    "/etc/passwd",
    `root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:${uid}:${uid}:nonroot:${home}:/sbin/nologin\n`,
  ),
  textFile("/etc/group", `root:x:0:\nnonroot:x:${uid}:\n`),
  textFile("/etc/nsswitch.conf", "hosts: files dns\n"),
  { kind: "folder", path: home, mode: 0o700, owner: uid },
  { kind: "folder", path: "/tmp", mode: 0o1777 },
];

/**
 * The Node that runs this, with its loader, its libraries, and the little that it expects of a system.
 * Throws UsageError where this Node cannot run in a container of Linux.
 */
export function nodeRuntime(): readonly ImageFile[] {
  if (process.platform !== "linux") {
    throw new UsageError(`an image holds the Node that makes it, which has to be Linux's, not ${process.platform}'s`);
  }
  const libraries = neededLibraries(process.execPath);
  return [
    { kind: "file", path: imageLayout.node, mode: 0o755, content: readFileSync(process.execPath) },
    ...[...libraries, ...nameServices(libraries)].map(copied),
    ...[imageLayout.authorities].filter((path) => existsSync(path)).map(copied),
    ...systemFiles,
  ];
}

/** At the path where the loader will look, which is often a link here. */
function copied(path: string): ImageFile {
  const isLibrary = path.includes(".so");
  return { kind: "file", path, mode: isLibrary ? 0o755 : 0o644, content: readFileSync(path) };
}

function nameServices(libraries: readonly string[]): readonly string[] {
  const libc = libraries.find((path) => path.endsWith("/libc.so.6"));
  if (libc === undefined) return [];
  return nameServiceLibraries.map((name) => join(dirname(libc), name)).filter((path) => existsSync(path));
}

function neededLibraries(program: string): readonly string[] {
  try {
    return parseLdd(execFileSync("ldd", [program], { encoding: "utf8", env: { PATH: process.env.PATH } }));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`ldd, which is part of the system's libc, cannot tell the libraries of ${program}: ${error}`);
  }
}

/** Paths of the libraries and the loader in what ldd prints. Throws UsageError if one is not there. */
export function parseLdd(text: string): readonly string[] {
  const missing = /^\s*(\S+) => not found/m.exec(text)?.[1];
  if (missing !== undefined) throw new UsageError(`the running Node needs ${missing}, which this system does not have`);
  const paths = [...text.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/gm)].map(([, path = ""]) => path);
  return [...new Set(paths)];
}

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { pack } from "tar-stream";
import type { ImageFile } from "./image-file.ts";

const compress = promisify<Buffer, Buffer>(gzip);

/** Something that an image refers to by its digest. */
export interface Blob {
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface Layer extends Blob {
  /** Digest before compression, which a container runtime checks after it has unpacked. */
  readonly diffId: string;
  /** Bytes before compression. */
  readonly unpackedBytes: number;
}

export function blobOf(bytes: Buffer): Blob {
  return { digest: digestOf(bytes), bytes };
}

/**
 * The same files make the same bytes, in whatever order they come and whenever they were written: sorted, of one time and, but for
 * folders that name another, of root.
 */
export async function layerOf(files: readonly ImageFile[]): Promise<Layer> {
  const tar = pack();
  for (const file of withFolders(files)) {
    const isFolder = file.kind === "folder";
    const owner = isFolder ? (file.owner ?? 0) : 0;
    tar.entry(
      {
        name: isFolder ? `${file.path.slice(1)}/` : file.path.slice(1),
        type: isFolder ? "directory" : "file",
        mode: file.mode,
        mtime: new Date(0),
        uid: owner,
        gid: owner,
      },
      isFolder ? Buffer.alloc(0) : file.content,
    );
  }
  tar.finalize();
  const parts: Buffer[] = [];
  for await (const part of tar as AsyncIterable<Buffer>) parts.push(part);
  const unpacked = Buffer.concat(parts);
  return {
    ...blobOf(await compress(unpacked)),
    diffId: digestOf(unpacked),
    unpackedBytes: unpacked.length,
  };
}

/** With each folder above a file, before what it holds. */
function withFolders(files: readonly ImageFile[]): readonly ImageFile[] {
  const byPath = new Map<string, ImageFile>();
  for (const file of files) {
    for (let path = dirname(file.path); path !== "/"; path = dirname(path)) {
      if (!byPath.has(path)) byPath.set(path, { kind: "folder", path, mode: 0o755 });
    }
    byPath.set(file.path, file);
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

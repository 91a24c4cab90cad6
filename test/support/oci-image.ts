import { createHash } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { extract, type Header } from "tar-stream";

export interface TarEntry {
  readonly header: Header;
  readonly content: Buffer;
}

/** The parts of an OCI descriptor, manifest and configuration that tests look at. */
interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
}
interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly config: {
    readonly User: string;
    readonly Entrypoint: readonly string[];
    readonly Env: readonly string[];
    readonly WorkingDir: string;
  };
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

export interface ReadImage {
  readonly name: string;
  readonly config: ImageConfig;
  /** Lowest first. */
  readonly layerDigests: readonly string[];
  /** By absolute path, all layers on one another. */
  readonly files: ReadonlyMap<string, TarEntry>;
}

/** Reads every image of an OCI layout in a tar. Rejects where a digest or a size is not that of the bytes that it stands for. */
export async function readImages(path: string): Promise<readonly ReadImage[]> {
  const entries = await readTar(readFileSync(path));
  const blob = ({ digest, size }: Descriptor): Buffer => {
    const bytes = entryOf(entries, `blobs/${digest.replace(":", "/")}`);
    if (bytes.length !== size) throw new Error(`${digest} has ${bytes.length} bytes, not ${size}`);
    checkDigest(bytes, digest);
    return bytes;
  };
  const layout = parse<{ readonly imageLayoutVersion: string }>(entryOf(entries, "oci-layout"));
  if (layout.imageLayoutVersion !== "1.0.0") throw new Error(`an OCI layout ${layout.imageLayoutVersion}`);
  const index = parse<{ readonly manifests: readonly Descriptor[] }>(entryOf(entries, "index.json"));
  return Promise.all(
    index.manifests.map(async (descriptor) => {
      const manifest = parse<{ readonly config: Descriptor; readonly layers: readonly Descriptor[] }>(blob(descriptor));
      const config = parse<ImageConfig>(blob(manifest.config));
      const files = new Map<string, TarEntry>();
      for (const [place, layer] of manifest.layers.entries()) {
        const unpacked = gunzipSync(blob(layer));
        checkDigest(unpacked, config.rootfs.diff_ids[place] ?? "none");
        for (const [name, entry] of await readTar(unpacked)) files.set(`/${name.replace(/\/$/, "")}`, entry);
      }
      const name = descriptor.annotations?.["io.containerd.image.name"] ?? "";
      return { name, config, layerDigests: manifest.layers.map(({ digest }) => digest), files };
    }),
  );
}

/** What `docker load` reads of the same tar, with each path that it names checked to be there. */
export async function readDockerManifest(path: string): Promise<readonly string[]> {
  const entries = await readTar(readFileSync(path));
  const images = parse<{ Config: string; RepoTags: string[]; Layers: string[] }[]>(entryOf(entries, "manifest.json"));
  for (const { Config, Layers } of images) for (const name of [Config, ...Layers]) entryOf(entries, name);
  return images.flatMap(({ RepoTags }) => RepoTags);
}

/** Writes an image's files into a folder, with their owners if this process may give files away. */
export function unpackImage({ files }: ReadImage, folder: string): void {
  for (const [path, { header, content }] of files) {
    const target = join(folder, path);
    mkdirSync(header.type === "directory" ? target : dirname(target), { recursive: true });
    if (header.type === "file") writeFileSync(target, content);
    if (process.getuid?.() === 0) chownSync(target, header.uid ?? 0, header.gid ?? 0);
    chmodSync(target, header.mode ?? 0o644);
  }
}

async function readTar(bytes: Buffer): Promise<ReadonlyMap<string, TarEntry>> {
  const entries = new Map<string, TarEntry>();
  for await (const entry of Readable.from([bytes]).pipe(extract())) {
    entries.set(entry.header.name, { header: entry.header, content: await buffer(entry) });
  }
  return entries;
}

function entryOf(entries: ReadonlyMap<string, TarEntry>, name: string): Buffer {
  const entry = entries.get(name);
  if (entry === undefined) throw new Error(`the archive has no ${name}`);
  return entry.content;
}

function parse<T>(bytes: Buffer): T {
  return JSON.parse(bytes.toString()) as T;
}

function checkDigest(bytes: Buffer, expected: string): void {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (digest !== expected) throw new Error(`bytes of the digest ${digest} stand as ${expected}`);
}

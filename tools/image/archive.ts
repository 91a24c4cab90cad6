import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import { descriptor, type Image, json } from "./image.ts";
import type { Blob } from "./layer.ts";

/**
 * Writes images into one tar, where a layer that several of them have is there once: an OCI layout, for containerd, podman and newer
 * Dockers, and beside it the manifest.json that older Dockers load.
 */
export async function writeArchive(path: string, images: readonly Image[]): Promise<void> {
  const tar = pack();
  const written = pipeline(tar, createWriteStream(path));
  for (const [name, bytes] of archiveEntries(images)) {
    tar.entry({ name, mode: 0o644, mtime: new Date(0) }, bytes);
  }
  tar.finalize();
  await written;
}

function archiveEntries(images: readonly Image[]): ReadonlyMap<string, Buffer> {
  const entries = new Map<string, Buffer>();
  entries.set("oci-layout", json({ imageLayoutVersion: "1.0.0" }));
  entries.set("index.json", json(indexOf(images)));
  entries.set("manifest.json", json(images.map(dockerManifest)));
  for (const { manifest, config, layers } of images) {
    for (const blob of [manifest, config, ...layers]) entries.set(blobPath(blob), blob.bytes);
  }
  return entries;
}

function indexOf(images: readonly Image[]) {
  return {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: images.map(({ name, version, platform, manifest }) => ({
      ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
      platform,
      // containerd takes the first for the whole name, others make do with the second.
      annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": version },
    })),
  };
}

function dockerManifest({ name, config, layers }: Image) {
  return { Config: blobPath(config), RepoTags: [name], Layers: layers.map(blobPath) };
}

function blobPath({ digest }: Blob): string {
  return `blobs/${digest.replace(":", "/")}`;
}

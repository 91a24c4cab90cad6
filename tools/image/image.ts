import { type Half, imageLayout, imageName, programPath } from "./image-layout.ts";
import { type Blob, blobOf, type Layer } from "./layer.ts";

export interface Platform {
  readonly os: "linux";
  readonly architecture: string;
  readonly variant?: string;
}

export interface Image {
  readonly name: string;
  readonly version: string;
  readonly platform: Platform;
  readonly manifest: Blob;
  readonly config: Blob;
  readonly layers: readonly Layer[];
}

const notDated = new Date(0).toISOString();

/** `process.arch`, as images call it. */
export function platformOf(arch: string): Platform {
  if (arch === "x64") return { os: "linux", architecture: "amd64" };
  if (arch === "ppc64") return { os: "linux", architecture: "ppc64le" };
  if (arch === "arm") return { os: "linux", architecture: "arm", variant: "v7" };
  return { os: "linux", architecture: arch };
}

/** Puts layers, lowest first, into an image that starts one half. */
export function imageOf(half: Half, version: string, platform: Platform, layers: readonly Layer[]): Image {
  const { uid } = imageLayout.user;
  const config = blobOf(
    json({
      created: notDated,
      ...platform,
      config: {
        User: `${uid}:${uid}`,
        Env: Object.entries(imageLayout.environment).map(([name, value]) => `${name}=${value}`),
        Entrypoint: [programPath(half)],
        WorkingDir: "/",
        Labels: {
          "org.opencontainers.image.title": `hawser proxy-${half}`,
          "org.opencontainers.image.licenses": "Apache-2.0",
        },
      },
      rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map(() => ({ created: notDated, created_by: "npm run image" })),
    }),
  );
  const manifest = blobOf(
    json({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: layers.map((layer) => descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)),
    }),
  );
  return { name: imageName(half, version), version, platform, manifest, config, layers };
}

export function descriptor(mediaType: string, { digest, bytes }: Blob) {
  return { mediaType, digest, size: bytes.length };
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

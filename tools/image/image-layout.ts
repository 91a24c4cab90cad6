export type Half = "server" | "agent";
export const halves: readonly Half[] = ["server", "agent"];

/** Where things are in an image, and as whom it runs. The Dockerfiles have the same; a test compares them. */
export const imageLayout = {
  /** As in the distroless images with Node. */
  node: "/nodejs/bin/node",
  application: "/hawser",
  authorities: "/etc/ssl/certs/ca-certificates.crt",
  user: { uid: 65532, home: "/home/nonroot" },
  environment: { PATH: "/nodejs/bin" },
  /** Folders of dist/ that both halves stand on. */
  shared: ["shared", "proto"],
} as const;

/** What manifests for the reference start; and what the image starts by itself. */
export function programPath(half: Half): string {
  return `/proxy-${half}`;
}

export function imageName(half: Half, version: string): string {
  return `docker.io/hawser/proxy-${half}:${version}`;
}

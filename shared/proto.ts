import { fileURLToPath } from "node:url";

/**
 * The path of a file in proto/, by its name there.
 * Works from the source tree and from dist/ alike, because the build copies proto/ to where it lies beside shared/.
 */
export function protoPath(file: string): string {
  return fileURLToPath(new URL(`../proto/${file}`, import.meta.url));
}

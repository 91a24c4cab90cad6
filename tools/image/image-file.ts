/** One entry of an image's file system. Only kind, mode and content matter: owner and times are the same for all. */
export type ImageFile =
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly content: Buffer }
  | { readonly kind: "folder"; readonly path: string; readonly mode: number; readonly owner?: number };

/** `path` is absolute, as it is in the image. */
export function textFile(path: string, text: string, mode = 0o644): ImageFile {
  return { kind: "file", path, mode, content: Buffer.from(text) };
}

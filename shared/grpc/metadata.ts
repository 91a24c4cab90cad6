/** One value: text, or bytes where the key ends in `-bin`. */
export type MetadataValue = string | Buffer;

/** Headers or trailers of a call without HTTP/2's and gRPC's own. Keys are lower case; a repeated key keeps its order. */
export type Metadata = ReadonlyMap<string, readonly MetadataValue[]>;

export const emptyMetadata: Metadata = new Map();

/** Builds metadata with one value a key. */
export function metadataOf(entries: Readonly<Record<string, MetadataValue>>): Metadata {
  return new Map(Object.entries(entries).map(([key, value]) => [key.toLowerCase(), [value]]));
}

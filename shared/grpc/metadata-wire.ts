import type { OutgoingHttpHeaders } from "node:http2";
import type { Metadata, MetadataValue } from "./metadata.ts";
import { GrpcCode, GrpcError } from "./status.ts";

/** Fields that belong to HTTP/2 or to gRPC itself. `user-agent` is not among them: the server logs it. */
const reserved = new Set([
  "content-type",
  "te",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-status",
  "grpc-message",
]);

const isReserved = (key: string): boolean => key.startsWith(":") || reserved.has(key);

/**
 * Adds metadata to `headers`, values of a repeated key in their order.
 * Throws GrpcError INTERNAL for a key that is not one, a reserved key, or text that is not printable ASCII:
 * peers refuse such a value, and a line break in it is an injection.
 */
export function addMetadata(headers: OutgoingHttpHeaders, metadata: Metadata): void {
  for (const [key, values] of metadata) {
    if (!/^[0-9a-z_.-]+$/.test(key) || isReserved(key)) {
      throw new GrpcError(GrpcCode.INTERNAL, `metadata key ${JSON.stringify(key)} cannot be sent`);
    }
    const encoded = values.map((value) => encodeValue(key, value));
    const [first] = encoded;
    if (first !== undefined) headers[key] = encoded.length === 1 ? first : encoded;
  }
}

function encodeValue(key: string, value: MetadataValue): string {
  if (key.endsWith("-bin")) return Buffer.from(value).toString("base64").replace(/=+$/, "");
  if (typeof value === "string" && /^[\x20-\x7e]*$/.test(value)) return value;
  // The value may be a token, so it is not named.
  throw new GrpcError(GrpcCode.INTERNAL, `the value of metadata key ${JSON.stringify(key)} is not printable ASCII`);
}

/**
 * Reads metadata from Node's raw header list (key, value, key, value, ...), which keeps repeated fields apart
 * where Node's header object joins or drops them.
 * Throws GrpcError INTERNAL if a `-bin` value is not base64.
 */
export function metadataFromRaw(raw: readonly string[]): Metadata {
  const metadata = new Map<string, MetadataValue[]>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const key = raw[at] as string;
    const text = raw[at + 1] as string;
    if (isReserved(key)) continue;
    let values = metadata.get(key);
    if (values === undefined) {
      values = [];
      metadata.set(key, values);
    }
    if (!key.endsWith("-bin")) values.push(text);
    // One field may hold several values; base64 has no comma.
    else for (const part of text.split(",")) values.push(decodeBinary(key, part.trim()));
  }
  return metadata;
}

function decodeBinary(key: string, text: string): Buffer {
  const bare = text.replace(/={1,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(bare) || bare.length % 4 === 1) {
    throw new GrpcError(GrpcCode.INTERNAL, `metadata key ${JSON.stringify(key)} holds bad base64`);
  }
  return Buffer.from(bare, "base64");
}

import type { Metadata } from "../../shared/grpc/metadata.ts";
import { GrpcCode, GrpcError } from "../../shared/grpc/status.ts";

const scheme = "Bearer ";

/**
 * The token that an agent presents. Throws a GrpcError, UNAUTHENTICATED and the reference's text, if there is not just one.
 * Source: the reference.
 */
export function bearerToken(metadata: Metadata): string {
  const values = (metadata.get("authorization") ?? []).map(String);
  const [value] = values;
  if (value === undefined) throw refusal("Authentication context was not found in metadata");
  if (values.length > 1) throw refusal(`too many (${values.length}) tokens are received`);
  if (!value.startsWith(scheme)) throw refusal(`received token does not have "${scheme}" prefix`);
  return value.slice(scheme.length);
}

const refusal = (text: string): GrpcError => new GrpcError(GrpcCode.UNAUTHENTICATED, text);

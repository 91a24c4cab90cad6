import { timingSafeEqual } from "node:crypto";
import { type Metadata, metadataOf } from "../grpc/metadata.ts";
import { version } from "../version.ts";

/** Source: proto/tunnel.proto. */
export const linkPath = "/hawser.tunnel.v1.TunnelService/Link";
export const carryPath = "/hawser.tunnel.v1.TunnelService/Carry";

const linkedServersKey = "hawser-linked-servers";
const versionKey = "hawser-version";
const tokenKey = "hawser-link-token-bin";

/** What a Link's request has besides the headers of AgentService. Server ids are written as URL components, joined by commas. */
export function linkMetadata(base: Metadata, options: { readonly linkedServers: readonly string[] }): Metadata {
  const own = metadataOf({
    [versionKey]: version,
    [linkedServersKey]: options.linkedServers.map(encodeURIComponent).join(","),
  });
  return new Map([...base, ...own]);
}

/** The servers that the agent says it is linked to. An id that cannot be read is none. */
export function linkedServers(metadata: Metadata): readonly string[] {
  const text = String(metadata.get(linkedServersKey)?.[0] ?? "");
  return text.split(",").flatMap((id) => {
    try {
      return id === "" ? [] : [decodeURIComponent(id)];
    } catch {
      return [];
    }
  });
}

/** A Carry's request. */
export function carryMetadata(token: Buffer): Metadata {
  return metadataOf({ [tokenKey]: token });
}

/** Whether a Carry bears this token; takes as long for every wrong one. */
export function bearsToken(metadata: Metadata, token: Buffer): boolean {
  const given = metadata.get(tokenKey)?.[0];
  return Buffer.isBuffer(given) && given.length === token.length && timingSafeEqual(given, token);
}

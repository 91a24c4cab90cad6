import { constants } from "node:http2";
import { GrpcCode, type GrpcStatus, isGrpcCode } from "./status.ts";

/** A status message longer than this is cut: it travels in a header, and the peer limits those. */
const messageMaxBytes = 4096;

/** Header fields that carry a status. The message is left out when empty. */
export function statusToHeaders(status: GrpcStatus): Record<string, string> {
  const headers: Record<string, string> = { "grpc-status": String(status.code) };
  if (status.message !== "") headers["grpc-message"] = encodeStatusMessage(status.message);
  return headers;
}

/** Reads a status from trailers, or from the headers of a trailers-only answer. Undefined if there is none. */
export function statusFromHeaders(code: string | undefined, message: string | undefined): GrpcStatus | undefined {
  if (code === undefined) return undefined;
  const number = /^\d{1,3}$/.test(code) ? Number(code) : -1;
  if (!isGrpcCode(number)) return { code: GrpcCode.UNKNOWN, message: `the peer sent an unknown status ${code}` };
  return { code: number, message: message === undefined ? "" : decodeStatusMessage(message) };
}

/**
 * Percent-encodes every byte of the UTF-8 form but printable ASCII without `%`.
 * Source: gRPC, doc/PROTOCOL-HTTP2.md, Status-Message.
 */
export function encodeStatusMessage(message: string): string {
  const bytes = Buffer.from(message, "utf8").subarray(0, messageMaxBytes);
  let text = "";
  for (const byte of bytes) {
    if (byte >= 0x20 && byte <= 0x7e && byte !== 0x25) text += String.fromCharCode(byte);
    else text += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

/** Never throws: a `%` that two hexadecimal digits do not follow stays as it is, bad UTF-8 becomes U+FFFD. */
export function decodeStatusMessage(text: string): string {
  if (!text.includes("%")) return text;
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const escaped = text[at] === "%" ? text.slice(at + 1, at + 3) : "";
    if (/^[0-9a-fA-F]{2}$/.test(escaped)) {
      bytes.push(Number.parseInt(escaped, 16));
      at += 2;
    } else {
      bytes.push(text.charCodeAt(at) & 0xff);
    }
  }
  return Buffer.from(bytes).toString("utf8");
}

/** What a RST_STREAM without trailers means to a client. Source: gRPC, doc/PROTOCOL-HTTP2.md, Errors. */
export function grpcCodeOfReset(rstCode: number): GrpcCode {
  switch (rstCode) {
    case constants.NGHTTP2_REFUSED_STREAM:
      return GrpcCode.UNAVAILABLE;
    case constants.NGHTTP2_CANCEL:
      return GrpcCode.CANCELLED;
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return GrpcCode.RESOURCE_EXHAUSTED;
    case constants.NGHTTP2_INADEQUATE_SECURITY:
      return GrpcCode.PERMISSION_DENIED;
    default:
      return GrpcCode.INTERNAL;
  }
}

/** What an HTTP status other than 200 means where `grpc-status` is absent. Source: gRPC, doc/http-grpc-status-mapping.md. */
export function grpcCodeOfHttpStatus(httpStatus: number): GrpcCode {
  switch (httpStatus) {
    case 400:
      return GrpcCode.INTERNAL;
    case 401:
      return GrpcCode.UNAUTHENTICATED;
    case 403:
      return GrpcCode.PERMISSION_DENIED;
    case 404:
      return GrpcCode.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcCode.UNAVAILABLE;
    default:
      return GrpcCode.UNKNOWN;
  }
}

import type { Target } from "../dial.ts";
import { type ErrorCode, ProxyError } from "../errors.ts";
import { hostPort } from "../host-port.ts";

/** The cause to give `describeDialFailure` when our own limit on a dial has passed. */
export class DialTimeout extends Error {
  override readonly name = "DialTimeout";
}

/** Longest error text that `cleanErrorText` leaves, in bytes of UTF-8. */
export const errorTextMaxBytes = 1024;

/**
 * Makes a peer's text fit for logs and for other peers: at most 1 KiB of UTF-8, control characters and line separators
 * turned into spaces.
 */
export function cleanErrorText(text: string): string {
  // A code unit makes at least one byte, so nothing that could stay is lost by the first cut.
  const clean = text.slice(0, errorTextMaxBytes).replace(/[\p{Cc}\u2028\u2029]/gu, " ");
  const bytes = Buffer.from(clean);
  if (bytes.length <= errorTextMaxBytes) return clean;
  let end = errorTextMaxBytes;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

/** The order counts: `lookup x: i/o timeout` is a timeout. Source: proto/PROTOCOL.md#error-texts */
const textRules: readonly (readonly [ErrorCode, readonly string[]])[] = [
  ["dial_timeout", ["i/o timeout", "deadline exceeded", "timeout"]],
  ["over_limit", ["too many open files"]],
  ["refused", ["connection refused", "connection reset by peer", "broken pipe"]],
  ["unreachable", ["network is unreachable", "no route to host", "host is unreachable", "network is down"]],
  ["dns", ["no such host", "name resolution", "server misbehaving"]],
  ["protocol", ["tls", "ssl", "certificate", "missing port in address", "too many colons in address"]],
  ["protocol", ["invalid port", "unknown network"]],
];

/** Guesses what a dial failed with from the text of a peer that sends no code; `unreachable` where nothing matches. */
export function classifyDialErrorText(text: string): ErrorCode {
  const lower = text.toLowerCase();
  const rule = textRules.find(([, parts]) => parts.some((part) => lower.includes(part)));
  return rule?.[0] ?? "unreachable";
}

interface Symptom {
  readonly code: ErrorCode;
  /** What stands between the address and the words: the step of the dial that failed. */
  readonly step: "connect" | "socket" | "lookup";
  /** The words of Go's standard library, since servers and people look for them. */
  readonly words: string;
}

/** By Node's error code. ETIMEDOUT is the kernel's own, which the reference does not count as a timeout either. */
const symptoms: Readonly<Record<string, Symptom>> = {
  ECONNREFUSED: { code: "refused", step: "connect", words: "connection refused" },
  ECONNRESET: { code: "refused", step: "connect", words: "connection reset by peer" },
  ETIMEDOUT: { code: "unreachable", step: "connect", words: "connection timed out" },
  EHOSTUNREACH: { code: "unreachable", step: "connect", words: "no route to host" },
  ENETUNREACH: { code: "unreachable", step: "connect", words: "network is unreachable" },
  ENETDOWN: { code: "unreachable", step: "connect", words: "network is down" },
  EADDRNOTAVAIL: { code: "unreachable", step: "connect", words: "cannot assign requested address" },
  EACCES: { code: "unreachable", step: "connect", words: "permission denied" },
  EPERM: { code: "unreachable", step: "connect", words: "operation not permitted" },
  EINVAL: { code: "unreachable", step: "connect", words: "invalid argument" },
  EAFNOSUPPORT: { code: "unreachable", step: "connect", words: "address family not supported by protocol" },
  EMFILE: { code: "over_limit", step: "socket", words: "too many open files" },
  ENFILE: { code: "over_limit", step: "socket", words: "too many open files in system" },
  ENOTFOUND: { code: "dns", step: "lookup", words: "no such host" },
  EAI_AGAIN: { code: "dns", step: "lookup", words: "temporary failure in name resolution" },
  EAI_FAIL: { code: "dns", step: "lookup", words: "server misbehaving" },
};

/**
 * Turns what a dial failed with into the error that goes to the asking side, in the words of Go's dialer.
 * `cause` may be a Node system error, an AggregateError of such (the first counts, as in Go), a DialTimeout, or a ProxyError,
 * which is returned as it is. Anything else is `internal`. `reached` is the `host:port` that was tried, where it differs
 * from `address`; a system error that names its own goes before it.
 */
export function describeDialFailure(
  failure: Target & { readonly reached?: string; readonly cause: unknown },
): ProxyError {
  const cause = failure.cause instanceof AggregateError ? failure.cause.errors[0] : failure.cause;
  if (cause instanceof ProxyError) return cause;
  const { protocol, address, reached = address } = failure;
  const describe = (code: ErrorCode, text: string) =>
    new ProxyError(code, cleanErrorText(`dial ${protocol}${text}`), { cause, reportedBy: "agent" });
  if (cause instanceof DialTimeout) return describe("dial_timeout", ` ${reached}: i/o timeout`);
  const error = cause instanceof Error ? (cause as SystemError) : {};
  const symptom = symptoms[symptomCode(error)];
  if (symptom === undefined) return describe("internal", ` ${reached}: internal error`);
  const { code, step, words } = symptom;
  if (step === "lookup") return describe(code, `: lookup ${hostOf(address)}: ${words}`);
  return describe(code, ` ${peerOf(error) ?? reached}: ${step}: ${words}`);
}

type SystemError = {
  readonly code?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
};

/** The system's code, or ENOTFOUND for a name that no name server was asked for since it cannot be one. */
function symptomCode({ code = "", syscall }: SystemError): string {
  return code === "EINVAL" && syscall === "getaddrinfo" ? "ENOTFOUND" : code;
}

/** The address that a system error of `connect` names. */
function peerOf({ address, port }: SystemError): string | undefined {
  if (address === undefined || port === undefined) return undefined;
  return hostPort(address, port);
}

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");

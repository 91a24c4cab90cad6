import { GrpcCode } from "./grpc/status.ts";

/** Every way in which a dial or a connection can fail. docs/errors.md describes each; a test compares the two. */
export type ErrorCode = keyof typeof errorTraits;

export interface ErrorTraits {
  /** Status of an HTTP CONNECT answer. */
  readonly http: number;
  readonly grpc: GrpcCode;
  /** The level at which the event is logged. */
  readonly level: "debug" | "info" | "warn" | "error";
  /** Whether the same dial may be tried on another agent, as long as no byte has moved. */
  readonly retryable: boolean;
}

export const errorTraits = {
  no_agent: { http: 500, grpc: GrpcCode.UNAVAILABLE, level: "warn", retryable: false },
  agent_lost: { http: 502, grpc: GrpcCode.UNAVAILABLE, level: "warn", retryable: true },
  dial_timeout: { http: 504, grpc: GrpcCode.DEADLINE_EXCEEDED, level: "warn", retryable: true },
  refused: { http: 502, grpc: GrpcCode.UNAVAILABLE, level: "info", retryable: false },
  unreachable: { http: 502, grpc: GrpcCode.UNAVAILABLE, level: "info", retryable: false },
  dns: { http: 502, grpc: GrpcCode.UNAVAILABLE, level: "info", retryable: false },
  denied: { http: 403, grpc: GrpcCode.PERMISSION_DENIED, level: "warn", retryable: false },
  over_limit: { http: 503, grpc: GrpcCode.RESOURCE_EXHAUSTED, level: "warn", retryable: true },
  protocol: { http: 502, grpc: GrpcCode.INVALID_ARGUMENT, level: "warn", retryable: false },
  stalled: { http: 502, grpc: GrpcCode.ABORTED, level: "warn", retryable: false },
  idle: { http: 502, grpc: GrpcCode.ABORTED, level: "info", retryable: false },
  expired: { http: 502, grpc: GrpcCode.ABORTED, level: "info", retryable: false },
  cancelled: { http: 502, grpc: GrpcCode.CANCELLED, level: "debug", retryable: false },
  shutdown: { http: 502, grpc: GrpcCode.UNAVAILABLE, level: "info", retryable: true },
  internal: { http: 502, grpc: GrpcCode.INTERNAL, level: "error", retryable: false },
} as const satisfies Record<string, ErrorTraits>;

/**
 * The one error that crosses the parts of this program. `message` is a plain sentence that a peer may see;
 * `cause` is for our log alone.
 */
export class ProxyError extends Error {
  override readonly name = "ProxyError";
  readonly code: ErrorCode;
  /** The half that found out. An agent's message travels to the client as it is. */
  readonly reportedBy: "server" | "agent";

  constructor(code: ErrorCode, message: string, options?: ErrorOptions & { readonly reportedBy?: "server" | "agent" }) {
    super(message, options);
    this.code = code;
    this.reportedBy = options?.reportedBy ?? "server";
  }

  get traits(): ErrorTraits {
    return errorTraits[this.code];
  }

  /** Leaves a ProxyError as it is; wraps anything else as `internal`. */
  static from(error: unknown, message = "internal error"): ProxyError {
    return error instanceof ProxyError ? error : new ProxyError("internal", message, { cause: error });
  }
}

/** What a person at the command line did wrong. Printed as one line, without a stack; the process exits with 1. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** gRPC status codes by their canonical names. Source: gRPC, doc/statuscodes.md. */
export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type GrpcCodeName = keyof typeof GrpcCode;
export type GrpcCode = (typeof GrpcCode)[GrpcCodeName];

/** How a call ended. `message` is plain text; percent-encoding belongs to the wire. */
export interface GrpcStatus {
  readonly code: GrpcCode;
  readonly message: string;
}

const names = new Map<number, GrpcCodeName>(
  (Object.keys(GrpcCode) as GrpcCodeName[]).map((name) => [GrpcCode[name], name]),
);

/** The canonical name of a code, for logs. */
export function grpcCodeName(code: GrpcCode): GrpcCodeName {
  return names.get(code) ?? "UNKNOWN";
}

/** Whether a number from the wire is one of the 17 codes. */
export function isGrpcCode(code: number): code is GrpcCode {
  return names.has(code);
}

/** A status as an error: what a call that could not be opened, or that ended before its headers, is rejected with. */
export class GrpcError extends Error implements GrpcStatus {
  readonly code: GrpcCode;

  constructor(code: GrpcCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "GrpcError";
    this.code = code;
  }
}

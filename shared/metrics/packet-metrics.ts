import { GrpcCode, type GrpcCodeName, grpcCodeName } from "../grpc/status.ts";
import { packetNumbers } from "../konnectivity/packet.ts";
import type { PacketMeter } from "../konnectivity/packet-stream.ts";
import type { Counter } from "./instruments.ts";
import { counters, type Family, type Registry } from "./registry.ts";

/** Which packets a counter is about. Source: the reference. */
export type Segment = "from_client" | "to_client" | "from_agent" | "to_agent";

/** The codes as Go writes them, which is how the reference labels them. */
const goCodeNames = {
  OK: "OK",
  CANCELLED: "Canceled",
  UNKNOWN: "Unknown",
  INVALID_ARGUMENT: "InvalidArgument",
  DEADLINE_EXCEEDED: "DeadlineExceeded",
  NOT_FOUND: "NotFound",
  ALREADY_EXISTS: "AlreadyExists",
  PERMISSION_DENIED: "PermissionDenied",
  RESOURCE_EXHAUSTED: "ResourceExhausted",
  FAILED_PRECONDITION: "FailedPrecondition",
  ABORTED: "Aborted",
  OUT_OF_RANGE: "OutOfRange",
  UNIMPLEMENTED: "Unimplemented",
  INTERNAL: "Internal",
  UNAVAILABLE: "Unavailable",
  DATA_LOSS: "DataLoss",
  UNAUTHENTICATED: "Unauthenticated",
} as const satisfies Record<GrpcCodeName, string>;

/** Types that this version does not know are counted under their own numbers up to so many; a peer picks the numbers. */
const unknownTypesMax = 16;

/** The families `stream_packets_total` and `stream_errors_total` of one half. */
export class PacketMetrics {
  readonly #packets: Family<"segment" | "packet_type", Counter>;
  readonly #errors: Family<"segment" | "code" | "packet_type", Counter>;

  /** `prefix` is what stands before the family's own name. */
  constructor(registry: Registry, prefix: string) {
    this.#packets = counters(registry, {
      name: `${prefix}stream_packets_total`,
      help: "Count of packets processed, by segment and packet type (example: from_client, DIAL_REQ)",
      labels: ["segment", "packet_type"],
    });
    this.#errors = counters(registry, {
      name: `${prefix}stream_errors_total`,
      help: "Count of gRPC stream errors, by segment, grpc Code, packet type. (example: from_agent, Code.Unavailable, DIAL_RSP)",
      labels: ["segment", "code", "packet_type"],
    });
  }

  /** A meter for streams whose packets go and come by these segments. */
  meter(segments: { readonly sent: Segment; readonly received: Segment }): CodedPacketMeter {
    const sent = this.#byType(segments.sent);
    const received = this.#byType(segments.received);
    const failed = (segment: Segment, packetType: string, code: GrpcCode): void => {
      this.#errors.labelled({ segment, code: goCodeNames[grpcCodeName(code)], packet_type: packetType }).inc();
    };
    return {
      sent: (packetType) => sent(packetType).inc(),
      received: (packetType) => received(packetType).inc(),
      sendFailed: (packetType, code = GrpcCode.UNAVAILABLE) => failed(segments.sent, packetType, code),
      receiveFailed: (code = GrpcCode.UNKNOWN) => failed(segments.received, "Unknown", code),
    };
  }

  #byType(segment: Segment): (packetType: string) => Counter {
    const labelled = (packetType: string): Counter => this.#packets.labelled({ segment, packet_type: packetType });
    const known = new Map(Object.keys(packetNumbers).map((name) => [name, labelled(name)]));
    const limit = known.size + unknownTypesMax;
    return (packetType) => {
      const found = known.get(packetType);
      if (found !== undefined) return found;
      const added = known.size < limit ? labelled(packetType) : labelled("other");
      if (known.size < limit) known.set(packetType, added);
      return added;
    };
  }
}

/** A packet meter that can also be told the gRPC code of a failure; without one it takes the likeliest. */
export interface CodedPacketMeter extends PacketMeter {
  sendFailed(packetType: string, code?: GrpcCode): void;
  receiveFailed(code?: GrpcCode): void;
}

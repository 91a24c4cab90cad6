import type { Clock } from "../../shared/clock.ts";
import { type ErrorCode, errorTraits, ProxyError } from "../../shared/errors.ts";
import { GrpcCode, type GrpcStatus } from "../../shared/grpc/status.ts";
import type { GrpcServerCall } from "../../shared/grpc/stream.ts";
import type { PacketMeter } from "../../shared/konnectivity/packet-stream.ts";
import { Lane, type LaneOwner } from "../../shared/tunnel/lane.ts";
import type { LaneDuplex } from "../../shared/tunnel/lane-duplex.ts";
import type { LaneMessage } from "../../shared/tunnel/messages.ts";
import type { DialOrder, LinkedConnection } from "./link.ts";

/** A dial of a link that has not been answered. */
export interface PendingDial {
  readonly order: DialOrder;
  /** On which it was sent, once it was. */
  lane: TunnelLane | undefined;
  readonly resolve: (connection: LinkedConnection) => void;
  readonly reject: (error: ProxyError) => void;
}

/** What a lane tells its link. */
export interface TunnelLaneEvents {
  onIdle(): void;
  onAnswered(dial: PendingDial, how: "dialed" | "refused"): void;
  /** The agent closed the lane before it can have seen this dial. */
  onUnused(dial: PendingDial): void;
  onBroken(error: ProxyError): void;
  /** It takes no more dials: its call is about to close. `pending` is a dial that was lost with it. */
  onEnded(): void;
  /** It carries nothing any more; `pending` as above. */
  onClose(): void;
}

/** One lane at the server: which dial it is busy with, and how its call ends. */
export class TunnelLane implements LaneOwner {
  readonly #call: GrpcServerCall;
  readonly #lane: Lane;
  readonly #events: TunnelLaneEvents;
  #pending: PendingDial | undefined;

  constructor(
    deps: { readonly call: GrpcServerCall; readonly clock: Clock; readonly meter: PacketMeter },
    events: TunnelLaneEvents,
  ) {
    this.#call = deps.call;
    this.#events = events;
    this.#lane = new Lane(deps.call, { ...deps, role: "server", owner: this });
  }

  get pending(): PendingDial | undefined {
    return this.#pending;
  }

  start(): void {
    this.#lane.start();
  }

  /** Throws WireError for a dial that cannot be sent; the lane stays idle then. */
  dial(dial: PendingDial): void {
    const { id, target, remainingMs } = dial.order;
    this.#lane.dial({ dialId: id, ...target, remainingMs });
    this.#pending = dial;
    dial.lane = this;
  }

  /** The dial that this lane is busy with is not waited for any more. */
  cancel(code: ErrorCode): void {
    this.#pending = undefined;
    if (!this.#lane.closed) this.#lane.cancel(code);
  }

  /** Ends the lane and what it carries, at once. */
  close(reason: ProxyError): void {
    this.#lane.abandon(reason);
    this.#call.fail({ code: GrpcCode.OK, message: "" });
  }

  onDialed({ reached }: Extract<LaneMessage, { type: "dialed" }>, duplex: LaneDuplex): void {
    const dial = this.#answered("dialed");
    dial?.resolve({ duplex, halfClose: true, holds: duplex, ...(reached === "" ? {} : { reached }) });
  }

  onRefused({ code, text }: Extract<LaneMessage, { type: "refused" }>): void {
    const known = Object.hasOwn(errorTraits, code) ? (code as ErrorCode) : "unreachable";
    // To a client of the reference's an answer without an error's text says that the connection stands.
    const message = text.trim() === "" ? `the agent refused the dial: ${known}` : text;
    this.#answered("refused")?.reject(new ProxyError(known, message, { reportedBy: "agent" }));
  }

  onIdle(): void {
    this.#events.onIdle();
  }

  onEnd(): void {
    const dial = this.#pending;
    this.#pending = undefined;
    this.#lane.abandon(new ProxyError("agent_lost", "the agent ended the lane"));
    this.#events.onEnded();
    if (dial !== undefined) {
      dial.lane = undefined;
      this.#events.onUnused(dial);
    }
    this.#call.finish({ code: GrpcCode.OK, message: "" });
  }

  onStuck(): void {
    this.#call.reset({ code: GrpcCode.CANCELLED, message: "a reset was not answered in time" });
  }

  onBroken(error: ProxyError): void {
    this.#lane.abandon(new ProxyError("protocol", error.message));
    this.#events.onBroken(error);
    this.#events.onEnded();
    this.#call.fail({ code: GrpcCode.FAILED_PRECONDITION, message: error.message });
  }

  onClose(_status: GrpcStatus): void {
    this.#events.onClose();
  }

  #answered(how: "dialed" | "refused"): PendingDial | undefined {
    const dial = this.#pending;
    this.#pending = undefined;
    if (dial !== undefined) this.#events.onAnswered(dial, how);
    return dial;
  }
}

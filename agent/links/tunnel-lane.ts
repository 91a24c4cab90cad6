import type { Clock } from "../../shared/clock.ts";
import { asDialId, type DialRequest } from "../../shared/dial.ts";
import { DialController } from "../../shared/dial-signal.ts";
import { ProxyError } from "../../shared/errors.ts";
import type { GrpcClientCall } from "../../shared/grpc/stream.ts";
import type { PacketMeter } from "../../shared/konnectivity/packet-stream.ts";
import { Lane, type LaneOwner } from "../../shared/tunnel/lane.ts";
import type { LaneMessage } from "../../shared/tunnel/messages.ts";

/** What a lane tells its link. */
export interface TunnelLaneEvents {
  onBusy(lane: TunnelLane): void;
  onIdle(lane: TunnelLane): void;
  onBroken(error: ProxyError): void;
  onClose(lane: TunnelLane): void;
}

/** One lane at the agent: makes a DialRequest of each turn. */
export class TunnelLane implements LaneOwner {
  readonly #call: GrpcClientCall;
  readonly #lane: Lane;
  readonly #events: TunnelLaneEvents;
  readonly #onDial: (request: DialRequest) => void;
  /** Cancels the dial that has no answer yet. */
  #dialing: DialController | undefined;
  #retired = false;

  constructor(
    deps: {
      readonly call: GrpcClientCall;
      readonly clock: Clock;
      readonly meter: PacketMeter;
      readonly onDial: (request: DialRequest) => void;
    },
    events: TunnelLaneEvents,
  ) {
    this.#call = deps.call;
    this.#events = events;
    this.#onDial = deps.onDial;
    this.#lane = new Lane(deps.call, { ...deps, role: "agent", owner: this });
  }

  start(): void {
    this.#lane.start();
  }

  /** Closes an idle lane. A dial that is on its way to it is not begun: the server, which sees the end, takes another lane. */
  retire(): void {
    this.#retired = true;
    this.#call.end();
  }

  /** Ends the lane and what it carries, at once. */
  close(reason: ProxyError): void {
    this.#dialing?.abort(reason);
    this.#dialing = undefined;
    this.#lane.abandon(reason);
    this.#call.cancel(reason.message);
  }

  onDial({ dialId, address, protocol }: Extract<LaneMessage, { type: "dial" }>): void {
    if (this.#retired) return;
    this.#events.onBusy(this);
    const cancel = new DialController();
    this.#dialing = cancel;
    const answered = (): boolean => {
      if (this.#dialing !== cancel) return false;
      this.#dialing = undefined;
      return true;
    };
    this.#onDial({
      id: asDialId(dialId),
      target: { protocol, address },
      signal: cancel.signal,
      accept: async ({ reached = "" }) => {
        if (!answered()) throw new ProxyError("cancelled", "the dial is not waited for any more");
        const duplex = this.#lane.accept(reached);
        return { duplex, halfClose: true, holds: duplex };
      },
      refuse: (error) => {
        if (!answered()) return;
        this.#lane.refuse(new ProxyError(error.code, `${error.message} (dial ${dialId})`));
      },
    });
  }

  onDialReset(error: ProxyError): void {
    const dialing = this.#dialing;
    this.#dialing = undefined;
    dialing?.abort(error);
  }

  onIdle(): void {
    this.#events.onIdle(this);
  }

  /** Trailers: the call closes by itself. */
  onEnd(): void {}

  onBroken(error: ProxyError): void {
    this.#events.onBroken(error);
    this.close(new ProxyError("protocol", error.message));
  }

  onClose(): void {
    this.onDialReset(new ProxyError("agent_lost", "the lane of the dial was lost"));
    this.#events.onClose(this);
  }
}

import type { Duplex } from "node:stream";
import type { Clock } from "../../shared/clock.ts";
import { randomDialId } from "../../shared/dial.ts";
import { ProxyError } from "../../shared/errors.ts";
import { GrpcError } from "../../shared/grpc/status.ts";
import type { GrpcStream } from "../../shared/grpc/stream.ts";
import { classifyDialErrorText, cleanErrorText } from "../../shared/konnectivity/dial-error-text.ts";
import type { Packet } from "../../shared/konnectivity/packet.ts";
import { PacketDuplex } from "../../shared/konnectivity/packet-duplex.ts";
import { type PacketMeter, PacketStream } from "../../shared/konnectivity/packet-stream.ts";

/** What may wait for the reader when the next packet comes; then the stream, which nobody shares, pauses. */
const queueMaxBytes = 256 * 1024;
/** How long an orderly close waits for the proxy's answer: what the reference's client has. */
const closeTimeoutMs = 10_000;

type State =
  | { readonly name: "dialing"; readonly resolve: (duplex: Duplex) => void; readonly reject: (error: Error) => void }
  | { readonly name: "open"; readonly duplex: PacketDuplex }
  /** The proxy has closed the connection; the reader takes what is left. */
  | { readonly name: "closing"; readonly duplex: PacketDuplex }
  | { readonly name: "closed" };

const uncounted: PacketMeter = { sent() {}, received() {}, sendFailed() {}, receiveFailed() {} };

/**
 * One Proxy stream as its client sees it: one dial, then one connection. DIAL_REQ, CLOSE_REQ and DATA towards servers are sent
 * here and nowhere else. Source: proto/PROTOCOL.md.
 */
export class ProxyStream {
  readonly #clock: Clock;
  readonly #packets: PacketStream;
  readonly #onClosed: () => void;
  readonly #random = randomDialId();
  #state: State = { name: "closed" };

  /** `onClosed` is called once, when nothing uses `stream` any more: the owner ends it. */
  constructor(deps: { readonly stream: GrpcStream; readonly clock: Clock; readonly onClosed: () => void }) {
    this.#clock = deps.clock;
    this.#packets = new PacketStream(deps.stream, { meter: uncounted });
    this.#onClosed = deps.onClosed;
  }

  /**
   * Asks for a connection; call it once. Resolves to its end here: `end()` closes it both ways, since the wire has no
   * half-close. Rejects with a ProxyError that holds the proxy's words, with a GrpcError if the stream ends first, and with the
   * signal's reason.
   */
  dial(target: string, { signal }: { readonly signal: AbortSignal }): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const cancel = () => this.#lose(signal.reason);
      const settle = <T>(how: (value: T) => void) => {
        return (value: T) => {
          signal.removeEventListener("abort", cancel);
          how(value);
        };
      };
      this.#state = { name: "dialing", resolve: settle(resolve), reject: settle(reject) };
      this.#packets.start({
        onPacket: (packet) => this.#receive(packet),
        onEnd: () => {},
        onBroken: (error) => this.#lose(new ProxyError("protocol", error.message)),
        onOverload: (error) => this.#lose(error),
        onClose: ({ code, message }) => this.#lose(new GrpcError(code, message || "the proxy server ended the stream")),
      });
      this.#packets.send({ type: "DIAL_REQ", protocol: "tcp", address: target, random: this.#random });
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
    });
  }

  #receive(packet: Packet): void {
    switch (packet.type) {
      case "DIAL_RSP":
        if (packet.random === this.#random) this.#answered(packet);
        return;
      case "DIAL_CLS":
        if (packet.random === this.#random && this.#state.name === "dialing") {
          this.#lose(new ProxyError("cancelled", "the proxy server gave the dial up", { reportedBy: "server" }));
        }
        return;
      case "DATA":
        if (this.#state.name === "open" && this.#state.duplex.connectId === packet.connectId) {
          this.#state.duplex.deliver(packet.data);
        }
        return;
      case "CLOSE_RSP":
        if (this.#state.name === "open" && this.#state.duplex.connectId === packet.connectId) {
          this.#peerClosed(this.#state.duplex, packet.error);
        }
        return;
      default: // What servers do not send, or a later version's: the reference's client passes over it too.
    }
  }

  #answered({ connectId, error }: Extract<Packet, { type: "DIAL_RSP" }>): void {
    const state = this.#state;
    if (state.name !== "dialing") return;
    if (error !== "") {
      const text = cleanErrorText(error);
      this.#lose(new ProxyError(classifyDialErrorText(text), text));
      return;
    }
    const duplex = this.#open(connectId);
    this.#state = { name: "open", duplex };
    state.resolve(duplex);
  }

  #open(connectId: bigint): PacketDuplex {
    const duplex = new PacketDuplex({
      packets: this.#packets,
      connectId,
      queueMaxBytes,
      onOverflow: () => this.#packets.pause(),
      onRelief: () => this.#packets.resume(),
      onClosing: () => {
        if (this.#state.name === "open") this.#packets.send({ type: "CLOSE_REQ", connectId });
      },
    });
    let stopWaiting = () => {};
    duplex.once("finish", () => {
      stopWaiting = this.#clock.after(closeTimeoutMs, () =>
        duplex.destroy(new ProxyError("stalled", `no answer to the close within ${closeTimeoutMs} ms`)),
      );
    });
    // The peer has closed both directions: what would be written from now on goes nowhere.
    duplex.once("end", () => duplex.end());
    duplex.once("close", () => {
      stopWaiting();
      this.#finish();
    });
    return duplex;
  }

  #peerClosed(duplex: PacketDuplex, error: string): void {
    this.#state = { name: "closing", duplex };
    if (error === "") duplex.deliverClose();
    else duplex.destroy(new ProxyError("protocol", cleanErrorText(error)));
  }

  /** The stream is of no more use, for the reason that whoever waits is given. */
  #lose(error: Error): void {
    const state = this.#state;
    // What has come before the stream's end is still there to be read.
    if (state.name === "closed" || state.name === "closing") return;
    if (state.name === "open") {
      state.duplex.destroy(error);
      return;
    }
    state.reject(error);
    this.#finish();
  }

  #finish(): void {
    if (this.#state.name === "closed") return;
    this.#state = { name: "closed" };
    this.#onClosed();
  }
}

import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { peerOf } from "../peer-address.ts";
import { Keepalive, type KeepaliveOptions, Liveness } from "./keepalive.ts";
import { ResetWatch } from "./reset-watch.ts";
import type { SettingsSender } from "./settings-sender.ts";
import { WindowTuner } from "./window-tuner.ts";

/** Time that HTTP/2 gets to flush its last frames before the socket below it is destroyed. */
const abortGraceMs = 250;

/** nghttp2's "session is closing": raised on nearly every close by a Go client. */
const sessionClosingErrno = -505;

/**
 * The life of one HTTP/2 connection, the same at both ends: who is there, how long it has been silent, and its end.
 *
 * Node does not tell of every end: a session whose peer has vanished may never emit "close", its PING callbacks may
 * never run, and `destroy` alone may keep the descriptor. So the end is that of the socket below, which is kept and in
 * the last resort destroyed here.
 */
export class Connection {
  readonly peer: string;
  /** Resolves when the socket has closed. */
  readonly closed: Promise<void>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #session: Http2Session;
  readonly #socket: Socket;
  readonly #tcp: Socket | undefined;
  readonly #onLost: (message: string) => void;
  readonly #liveness: Liveness;
  #keepalive: Keepalive | undefined;
  #tuner: WindowTuner | undefined;
  readonly #resetWatch: ResetWatch | undefined;
  #resolveClosed: () => void = () => {};
  readonly #goawayListeners: (() => void)[] = [];
  #goneAway = false;
  #resetsWhenSilent = false;
  #aborted = false;
  #lost: string | undefined;

  /** `onLost` is called once, when the connection has gone or has been aborted. `tcp` is the socket below, where `socket` is TLS. */
  constructor(
    deps: { readonly log: Log; readonly clock: Clock },
    session: Http2Session,
    socket: Socket,
    options: {
      readonly tcp?: Socket | undefined;
      readonly keepalive?: KeepaliveOptions | undefined;
      readonly onLost: (message: string) => void;
    },
  ) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#session = session;
    this.#socket = socket;
    this.#tcp = options.tcp;
    this.#onLost = options.onLost;
    const { tcp = socket } = options;
    this.peer = peerOf(tcp);
    // Frames are gathered here already; Nagle's algorithm would only hold small ones back.
    tcp.setNoDelay(true);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#liveness = new Liveness(deps.clock, () => socket.bytesRead);
    if (options.keepalive !== undefined) this.keepalive(options.keepalive);
    if (socket instanceof TLSSocket) {
      this.#resetWatch = new ResetWatch(deps, tcp, () => this.abort("the peer reset the connection"));
    }
    session.on("error", (error) => this.#logError(error));
    session.on("goaway", (code, _lastStreamId, data) => {
      if (code !== 0) this.#lost ??= goawayText(code, data);
      // A graceful server may send two: one that says "no more", then one that names the last call.
      if (this.#goneAway) return;
      this.#goneAway = true;
      for (const listener of this.#goawayListeners) listener();
    });
    socket.on("close", () => {
      this.#lose("the connection was lost");
      this.#resolveClosed();
    });
  }

  /** Why this connection carries no calls any more, or undefined while it does. */
  get lost(): string | undefined {
    if (this.#lost === undefined && this.#session.destroyed) return "the connection was lost";
    return this.#lost;
  }

  /** Called once if the peer sends GOAWAY, also if it has already. */
  onGoaway(listener: () => void): void {
    this.#goawayListeners.push(listener);
    if (this.#goneAway) queueMicrotask(listener);
  }

  silentMs(): number {
    return this.#liveness.silentMs();
  }

  /** Pings and gives up by these times from now on. */
  keepalive(options: KeepaliveOptions): void {
    if (this.#lost !== undefined) return;
    this.#keepalive?.stop();
    this.#keepalive = new Keepalive(
      {
        clock: this.#clock,
        liveness: this.#liveness,
        ping: () => this.#ping(),
        giveUp: (silentMs) => this.#giveUp(`the peer has been silent for ${Math.round(silentMs)} ms`),
      },
      options,
    );
  }

  get roundTripMs(): number | undefined {
    return this.#tuner?.roundTripMs;
  }

  /** Call it once the session's own SETTINGS are sent. */
  tuneWindows(settings: SettingsSender): void {
    if (this.#lost !== undefined) return;
    this.#tuner ??= new WindowTuner({ clock: this.#clock, session: this.#session, settings });
  }

  resetWhenSilent(): void {
    this.#resetsWhenSilent = true;
  }

  /** Ends the session now, and the socket after a grace. May be called twice. */
  abort(reason: string): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#lose(reason);
    this.#session.destroy();
    this.#clock.after(
      abortGraceMs,
      () => {
        this.#socket.destroy();
        this.#resolveClosed();
      },
      { keepAlive: true },
    );
  }

  /**
   * The peer may still hear this end. An orderly end would wait behind what it does not acknowledge; a reset arrives at once, and
   * the kernel keeps nothing that is left to send.
   */
  #giveUp(reason: string): void {
    if (this.#resetsWhenSilent && this.#tcp?.destroyed === false) this.#tcp.resetAndDestroy();
    this.abort(reason);
  }

  #lose(message: string): void {
    this.#keepalive?.stop();
    this.#resetWatch?.stop();
    this.#tuner?.stop();
    this.#lost ??= message;
    this.#onLost(this.#lost);
  }

  /** Node sends no PING once GOAWAY was sent or came; SETTINGS without a change are answered too. */
  #ping(): void {
    if (this.#session.destroyed) return;
    if (this.#session.closed) this.#session.settings({});
    else this.#session.ping(() => {});
  }

  #logError(error: Error & { code?: string; errno?: number }): void {
    const expected =
      error.errno === sessionClosingErrno ||
      ["ECONNRESET", "EPIPE", "ERR_HTTP2_STREAM_CANCEL"].includes(error.code ?? "");
    this.#log[expected ? "debug" : "info"]({ err: error, peer: this.peer }, "http2 session failed");
  }
}

function goawayText(code: number, data: Uint8Array | undefined): string {
  const text = Buffer.from(data ?? [])
    .toString("latin1")
    .replace(/[^\x20-\x7e]/g, "?");
  return `the peer closed the connection with code ${code}${text === "" ? "" : ` (${text.slice(0, 100)})`}`;
}

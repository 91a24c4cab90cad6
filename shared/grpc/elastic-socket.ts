import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Clock } from "../clock.ts";
import { BacklogGate } from "./send-gate.ts";

/**
 * What may stand in the socket. Of streams it is some 1 MiB, and 16 MiB at most, which is the largest connection window; the rest can only be
 * what HTTP/2 answers by itself, as a PING, to a peer that asks and does not read.
 */
export const backlogMaxBytes = 48 * 1024 * 1024;
/** What a piece that waits takes besides its bytes; such an answer has 17 of them. */
const pieceBytes = 256;

/**
 * Stands between HTTP/2 and the socket, and takes every write at once. Where there is TLS it stands below that if it can, since
 * HTTP/2 and TLS then pass their bytes on without JavaScript between them.
 *
 * Node stops reading a session's socket while a write to it is pending. Where both ends of a connection do that and
 * both have filled the pipe, each waits for the other to read, for ever. With this at one end, that end always reads,
 * and the lock cannot close. The price: the session no longer feels the socket's pushback, so what it writes ahead
 * gathers here, and the streams bound it themselves by its gate; a peer that has it grow nevertheless loses its connection.
 *
 * It also keeps the process alive: where a peer dies while bytes move both ways, a write that Node's HTTP/2 begins in the middle of
 * reading fails at once on a TLS socket, and its end makes Node read the same bytes again, inside the first reading. Streams get wrong
 * bytes then, or the process ends with SIGSEGV (Node 20.20.2: 1 of some 100 peers killed on two busy cores). A write to this never fails at once.
 */
export class ElasticSocket extends Duplex {
  readonly gate: BacklogGate;
  readonly socket: Socket;
  readonly #onWritten: () => void;
  /** Pieces that stand in the socket. */
  #pieces = 0;

  /** Takes over `socket`, which may still be connecting; its end, error and destruction are this one's and the reverse. */
  constructor(deps: { readonly clock: Clock }, socket: Socket) {
    super({ allowHalfOpen: true });
    this.socket = socket;
    this.gate = new BacklogGate(deps, () => socket.writableLength);
    this.#onWritten = () => {
      this.#pieces -= 1;
      this.gate.open();
    };
    socket.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    // A peer that has ended its side has left the session. Node's stream below a session would answer with an end of its own, and if the
    // session writes while that end waits behind what such a peer does not read, an assertion of Node's fails and the process exits.
    this.on("end", () => this.destroy());
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk);
    done(this.#overflow());
  }

  override _writev(items: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.socket.cork();
    for (const { chunk } of items) this.#send(chunk);
    this.socket.uncork();
    done(this.#overflow());
  }

  override _read(): void {
    this.socket.resume();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.gate.close();
    this.socket.destroy();
    done(error);
  }

  #send(chunk: Buffer): void {
    this.#pieces += 1;
    this.socket.write(chunk, this.#onWritten);
  }

  #overflow(): Error | null {
    const { writableLength } = this.socket;
    if (writableLength + this.#pieces * pieceBytes <= backlogMaxBytes) return null;
    return new Error(`the peer does not read: ${writableLength} bytes in ${this.#pieces} pieces wait for it`);
  }
}

/** What HTTP/2 is given of a connection, and the rest that its session needs. */
export interface Footing {
  readonly duplex: Duplex;
  readonly elastic: ElasticSocket | undefined;
  /** The socket below TLS, where that is known. */
  readonly tcp: Socket | undefined;
}

/**
 * Call it before HTTP/2 gets `socket`. `elastic` is the ElasticSocket that `socket`, which is TLS, stands on; `true` puts one on `socket`.
 *
 * What ends TLS that stands on one ends both at once. HTTP/2 would end TLS in an orderly way, and if that then has to send an alert an
 * assertion of Node's fails and the process exits; and it does not heed the end of TLS alone.
 */
export function footingOf(deps: { readonly clock: Clock }, socket: Socket, elastic: boolean | ElasticSocket): Footing {
  if (typeof elastic === "boolean") {
    const above = elastic ? new ElasticSocket(deps, socket) : undefined;
    return { duplex: above ?? socket, elastic: above, tcp: undefined };
  }
  socket.on("error", () => socket.destroy()).once("end", () => socket.destroy());
  return { duplex: socket, elastic, tcp: elastic.socket };
}

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Clock } from "../clock.ts";
import { BacklogGate } from "./send-gate.ts";

/**
 * Stands between HTTP/2 and the socket, and takes every write at once.
 *
 * Node stops reading a session's socket while a write to it is pending. Where both ends of a connection do that and
 * both have filled the pipe, each waits for the other to read, for ever. With this at one end, that end always reads,
 * and the lock cannot close. The price: the session no longer feels the socket's pushback, so what it writes ahead
 * gathers here, and the streams bound it themselves by its gate.
 *
 * It also keeps the process alive: where a peer dies while bytes move both ways, a write that Node's HTTP/2 begins in the middle of
 * reading fails at once on a TLS socket, and its end makes Node read the same bytes again, inside the first reading. Streams get wrong
 * bytes then, or the process ends with SIGSEGV (Node 20.20.2: 1 of some 100 peers killed on two busy cores). A write to this never fails at once.
 */
export class ElasticSocket extends Duplex {
  readonly gate: BacklogGate;
  readonly #socket: Socket;
  readonly #onWritten: () => void;

  /** Takes over `socket`, which may still be connecting; its end, error and destruction are this one's and the reverse. */
  constructor(deps: { readonly clock: Clock }, socket: Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.gate = new BacklogGate(deps, () => socket.writableLength);
    this.#onWritten = () => this.gate.open();
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
    this.#socket.write(chunk, this.#onWritten);
    done();
  }

  override _writev(items: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.cork();
    for (const { chunk } of items) this.#socket.write(chunk, this.#onWritten);
    this.#socket.uncork();
    done();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.gate.close();
    this.#socket.destroy();
    done(error);
  }
}

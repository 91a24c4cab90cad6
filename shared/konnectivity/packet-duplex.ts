import { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Holding } from "../stream/byte-budget.ts";
import type { PacketStream } from "./packet-stream.ts";

/** What one queued chunk costs besides its bytes, so that a flood of tiny ones counts. */
const chunkOverheadBytes = 256;
/** Chunks below this are copied out of the read buffer that they would otherwise keep alive. */
const copyBelowBytes = 4096;
/**
 * Longest DATA that is sent. A frontend's packet may be as long as a message can be, and longer after its id was exchanged for
 * the other segment's, so it cannot go on as it is; and on a shared stream the others are to get their turns.
 */
const dataMaxBytes = 64 * 1024;
/** One chunk in Node's own buffer of a readable, all else in the queue here: Node counts bytes alone, and not the chunks. */
const readableMarkBytes = 1;
const writableMarkBytes = 64 * 1024;

export interface PacketDuplexOptions {
  readonly packets: PacketStream;
  readonly connectId: bigint;
  /** The stream carries this connection and no other. */
  readonly ownsStream?: boolean;
  /** From this charge on, one more packet is an overflow. */
  readonly queueMaxBytes: number;
  /** A packet came although `queueMaxBytes` were already queued. It was taken; the owner stops more from coming. */
  readonly onOverflow: (duplex: PacketDuplex) => void;
  /** After an overflow: the queue is below its limit again, or dropped. */
  readonly onRelief: (duplex: PacketDuplex) => void;
  /** This side closes: sends CLOSE_REQ or CLOSE_RSP, whichever this role has. Called once, after the last DATA. */
  readonly onClosing: () => void;
}

/**
 * One connection on a stream of the reference's packets, as a Duplex. Packets know only a full close:
 * `end()` closes the connection, and a close by the peer ends the readable and drops what is written after it.
 */
export class PacketDuplex extends Duplex implements Holding {
  readonly connectId: bigint;
  /** Bytes that the reader has taken out of the queue, for telling a slow reader from a dead one. */
  takenBytes = 0;
  #reader: Socket | undefined;
  readonly #options: PacketDuplexOptions;
  readonly #queue: Buffer[] = [];
  #queuedCharge = 0;
  #overflowed = false;
  /** Node asked for data and has not been satisfied. */
  #wanted = false;
  #peerClosed = false;
  #closingSent = false;
  /** What is left of the write under way. */
  #writing: { rest: Buffer; readonly callback: () => void } | undefined;
  readonly #writeOn = (): void => this.#sendWriting();

  constructor(options: PacketDuplexOptions) {
    super({ allowHalfOpen: true, readableHighWaterMark: readableMarkBytes, writableHighWaterMark: writableMarkBytes });
    this.#options = options;
    this.connectId = options.connectId;
    // The stream may be lost before anybody has joined this end to another; that error is theirs to see, not the process's.
    this.on("error", () => {});
  }

  /** For Holding: those with their overhead. */
  get queuedBytes(): number {
    return this.#queuedCharge;
  }

  get streamBytes(): number {
    return this.#options.ownsStream === true && !this.destroyed ? this.#options.packets.heldBytes : 0;
  }

  /** Bytes that wait for the reader, with the overhead of each chunk. */
  get queuedCharge(): number {
    return this.#queuedCharge;
  }

  /** The TCP or TLS socket that these bytes go on to, if that is where they go. */
  get reader(): Socket | undefined {
    return this.#reader;
  }

  /** For SpliceEnd.readBy. */
  readBy(reader: Duplex): void {
    if (reader instanceof Socket && reader.remoteAddress !== undefined) this.#reader = reader;
  }

  /** Takes the payload of a DATA packet. Dropped once the connection is closed or destroyed. */
  deliver(data: Buffer): void {
    if (this.#peerClosed || this.destroyed || data.length === 0) return;
    const chunk = data.length < copyBelowBytes ? Buffer.from(data) : data;
    if (this.#wanted && this.#queue.length === 0) {
      this.takenBytes += chunk.length;
      this.#wanted = this.push(chunk);
      return;
    }
    const wasFull = this.#queuedCharge >= this.#options.queueMaxBytes;
    this.#queue.push(chunk);
    this.#queuedCharge += chunk.length + chunkOverheadBytes;
    if (wasFull && !this.#overflowed) {
      this.#overflowed = true;
      this.#options.onOverflow(this);
    }
  }

  /** The peer has closed the connection: the reader gets what is queued, then its end. */
  deliverClose(): void {
    if (this.#peerClosed) return;
    this.#peerClosed = true;
    if (this.#queue.length === 0) this.push(null);
  }

  override _read(): void {
    this.#wanted = true;
    while (this.#wanted) {
      const chunk = this.#queue.shift();
      if (chunk === undefined) break;
      this.#queuedCharge -= chunk.length + chunkOverheadBytes;
      this.takenBytes += chunk.length;
      this.#wanted = this.push(chunk);
    }
    if (this.#overflowed && this.#queuedCharge < this.#options.queueMaxBytes) this.#relieve();
    if (this.#peerClosed && this.#queue.length === 0) this.push(null);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#writing = { rest: chunk, callback };
    this.#options.packets.whenWritable(this.#writeOn);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#sendClosing();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#queue.length = 0;
    this.#queuedCharge = 0;
    this.#writing = undefined;
    this.#options.packets.waitNoMore(this.#writeOn);
    if (this.#overflowed) this.#relieve();
    this.#sendClosing();
    callback(error);
  }

  #sendWriting(): void {
    const writing = this.#writing;
    if (writing === undefined) return;
    if (!this.#peerClosed) {
      const data = writing.rest.subarray(0, dataMaxBytes);
      writing.rest = writing.rest.subarray(data.length);
      this.#options.packets.send({ type: "DATA", connectId: this.connectId, data });
      if (writing.rest.length > 0) {
        this.#options.packets.whenWritable(this.#writeOn);
        return;
      }
    }
    this.#writing = undefined;
    writing.callback();
  }

  #relieve(): void {
    this.#overflowed = false;
    this.#options.onRelief(this);
  }

  #sendClosing(): void {
    if (this.#closingSent) return;
    this.#closingSent = true;
    this.#options.onClosing();
  }
}

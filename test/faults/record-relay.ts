import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const host = "127.0.0.1";
const headBytes = 5;
/** One PING in HTTP/2 is 17 bytes; TLS 1.3 adds a byte of type and 16 of tag. No message of a link is as long. */
const pingRecordBytes = headBytes + 17 + 1 + 16;

export type Direction = "toServer" | "toAgent";
export type RecordCounts = Readonly<Record<Direction, number>>;

export interface Cut {
  readonly direction: Direction;
  /** Whole records that pass before. */
  readonly records: number;
  /** Of the record that follows: none, its first byte, or all but its last. */
  readonly bytes: 0 | 1 | -1;
  /** A reset at both ends, or an end as of one that has said all. */
  readonly how: "reset" | "end";
}

/**
 * Passes the TLS records between an agent and a server, and cuts the link where it is told. Its count leaves out records that hold a
 * PING alone: those come by the clock, and so would be others in each run.
 */
export class RecordRelay {
  readonly port: number;
  readonly #server: Server;
  readonly #links = new Set<RelayedLink>();
  #counts = { toServer: 0, toAgent: 0 };
  #cut: Cut | undefined;
  #cutAt: number | undefined;

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (near) => {
      const link = new RelayedLink(near, connect(targetPort, host), (direction, record) =>
        this.#passes(direction, record),
      );
      this.#links.add(link);
      near.once("close", () => this.#links.delete(link));
    });
  }

  static async start(targetPort: number): Promise<RecordRelay> {
    const server = createServer();
    server.listen(0, host);
    await once(server, "listening");
    return new RecordRelay(server, targetPort);
  }

  /** Records that have passed since the last `arm`. */
  get counts(): RecordCounts {
    return this.#counts;
  }

  get isCut(): boolean {
    return this.#cutAt !== undefined;
  }

  /** Where the agent seems to come from at the server, by the newest link; undefined if that was cut. */
  get agentAddress(): string | undefined {
    const port = [...this.#links].findLast((link) => !link.isCut)?.localPort;
    return port === undefined ? undefined : `${host}:${port}`;
  }

  /** Counts anew from here, and cuts once if so many records come; without a cut it only counts. */
  arm(cut?: Cut): void {
    this.#counts = { toServer: 0, toAgent: 0 };
    this.#cut = cut;
    this.#cutAt = undefined;
  }

  /** Cuts now, unless that was done since the last `arm`. Returns when it was, by the clock of `performance`. */
  cutNow(how: Cut["how"]): number {
    if (this.#cutAt !== undefined) return this.#cutAt;
    this.#cutAt = performance.now();
    this.#cut = undefined;
    for (const link of this.#links) link.cut(how);
    return this.#cutAt;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const link of this.#links) link.cut("reset");
    await closed;
  }

  /** What of this record goes on, and whether the link is cut behind it. */
  #passes(direction: Direction, record: Buffer): { readonly bytes: Buffer; readonly thenCut?: () => void } {
    if (record.length === pingRecordBytes) return { bytes: record };
    const cut = this.#cut?.direction === direction ? this.#cut : undefined;
    const thenCut = () => this.cutNow(cut?.how ?? "reset");
    if (cut?.records === this.#counts[direction]) return { bytes: record.subarray(0, cut.bytes), thenCut };
    this.#counts[direction] += 1;
    const isLast = cut?.bytes === 0 && cut.records === this.#counts[direction];
    return isLast ? { bytes: record, thenCut } : { bytes: record };
  }
}

type Passes = (direction: Direction, record: Buffer) => { readonly bytes: Buffer; readonly thenCut?: () => void };

class RelayedLink {
  readonly #near: Socket;
  readonly #far: Socket;
  isCut = false;

  constructor(near: Socket, far: Socket, passes: Passes) {
    this.#near = near;
    this.#far = far;
    this.#carry(near, far, "toServer", passes);
    this.#carry(far, near, "toAgent", passes);
  }

  /** Towards the server; undefined until it is connected. */
  get localPort(): number | undefined {
    return this.#far.localPort;
  }

  cut(how: Cut["how"]): void {
    if (this.isCut) return;
    this.isCut = true;
    for (const socket of [this.#near, this.#far]) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.end();
    }
  }

  #carry(from: Socket, to: Socket, direction: Direction, passes: Passes): void {
    let rest = Buffer.alloc(0);
    from.setNoDelay(true);
    from.on("error", () => {});
    from.once("close", () => to.destroySoon());
    from.on("data", (chunk: Buffer) => {
      // After a cut it is read and dropped, for a socket that closes with something unread sends a reset.
      rest = this.isCut ? Buffer.alloc(0) : Buffer.concat([rest, chunk]);
      while (rest.length >= headBytes) {
        const length = headBytes + rest.readUInt16BE(3);
        if (rest.length < length) return;
        const { bytes, thenCut } = passes(direction, rest.subarray(0, length));
        rest = rest.subarray(length);
        to.write(bytes);
        thenCut?.();
        if (this.isCut) return;
      }
    });
  }
}

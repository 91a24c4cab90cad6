import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Transform } from "node:stream";

const host = "127.0.0.1";

/** Passes bytes between whoever connects to it and one port of 127.0.0.1, until a test cuts the connections. */
export class Relay {
  readonly port: number;
  /** Connections since the start. */
  acceptedCount = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #far: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>, far: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.#far = far;
    server.on("connection", () => {
      this.acceptedCount += 1;
    });
    this.port = (server.address() as AddressInfo).port;
  }

  /** `oneWayMs` is how long each byte is under way, in either direction; that a connection is there or has gone is seen at once. */
  static async start(targetPort: number, { oneWayMs = 0 }: { readonly oneWayMs?: number } = {}): Promise<Relay> {
    const sockets = new Set<Socket>();
    const farSockets = new Set<Socket>();
    const keep = (socket: Socket, peer: Socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => {
        sockets.delete(socket);
        peer.destroy();
      });
      if (oneWayMs === 0) socket.pipe(peer);
      else socket.pipe(delay(oneWayMs)).pipe(peer);
    };
    const server = createServer((near) => {
      const far = connect({ port: targetPort, host, allowHalfOpen: true });
      farSockets.add(far);
      far.once("close", () => farSockets.delete(far));
      keep(near, far);
      keep(far, near);
    });
    server.listen(0, host);
    await once(server, "listening");
    return new Relay(server, sockets, farSockets);
  }

  /** Reads nothing of what the target sends from here on. */
  stall(): void {
    for (const far of this.#far) {
      far.unpipe();
      far.pause();
    }
  }

  /** Ends every connection towards the target, with FIN. */
  end(): void {
    for (const far of this.#far) far.end();
  }

  /** Drops every connection; new ones are passed on as before. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }
}

/** Gives back each chunk after `ms`, however many are under way. */
function delay(ms: number): Transform {
  return new Transform({
    transform(chunk, _encoding, done) {
      setTimeout(() => this.push(chunk), ms);
      done();
    },
    flush: (done) => {
      setTimeout(done, ms);
    },
  });
}

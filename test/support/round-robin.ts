import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream";

const host = "127.0.0.1";

/** A load balancer before the servers: each connection goes to the next of its targets. */
export class RoundRobin {
  /** Ports of 127.0.0.1; may change at any time. */
  targets: readonly number[] = [];
  /** Connections so far. */
  joinedCount = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next = 0;

  private constructor() {
    this.#server = createServer((client) => this.#join(client));
  }

  /** At any port of 127.0.0.1 unless told otherwise. */
  static async start(at: { readonly host: string; readonly port: number } = { host, port: 0 }): Promise<RoundRobin> {
    const balancer = new RoundRobin();
    balancer.#server.listen(at);
    await once(balancer.#server, "listening");
    return balancer;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    this.joinedCount += 1;
    const port = this.targets[this.#next++ % Math.max(this.targets.length, 1)];
    if (port === undefined) {
      client.destroy();
      return;
    }
    const target = connect({ host, port });
    for (const socket of [client, target]) {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    }
    // Either end's failure ends both; the peers see it themselves.
    pipeline(client, target, () => target.destroy());
    pipeline(target, client, () => client.destroy());
  }
}

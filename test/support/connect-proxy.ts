import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const host = "127.0.0.1";

/** One CONNECT, read to the end of its head. */
export interface ConnectRequest {
  /** `host:port` as the client wrote it. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly socket: Socket;
  /** Joins the client with the target's port on this machine, whatever its name, and writes `head` first. */
  pass(head?: string): void;
}

export const established = "HTTP/1.1 200 Connection established\r\n\r\n";

/** An HTTP proxy on 127.0.0.1 with a script that says what becomes of each CONNECT. */
export class ConnectProxy {
  /** Every CONNECT so far, oldest first. */
  readonly requests: ConnectRequest[] = [];
  script: (request: ConnectRequest) => void = (request) => request.pass();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => this.#serve(this.#keep(socket)));
  }

  static async start(): Promise<ConnectProxy> {
    const proxy = new ConnectProxy();
    proxy.#server.listen(0, host);
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** What to set HTTPS_PROXY to. */
  get url(): string {
    return `http://${host}:${this.port}`;
  }

  /** Connections to and from the proxy. */
  get openCount(): number {
    return this.#sockets.size;
  }

  /** Drops every connection; new ones are taken as before. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => this.#sockets.delete(socket));
    return socket;
  }

  #serve(socket: Socket): void {
    let head = "";
    const read = (chunk: Buffer) => {
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end === -1) return;
      socket.off("data", read);
      socket.pause();
      // A client says nothing behind its head before it has the answer.
      const [first = "", ...lines] = head.slice(0, end).split("\r\n");
      const [, target = ""] = /^CONNECT (\S+) HTTP\/1\.1$/.exec(first) ?? [];
      const headers = lines.map((line) => /^([^:]+): *(.*)$/.exec(line) ?? []);
      const request: ConnectRequest = {
        target,
        headers: new Map(headers.map(([, name = "", value = ""]) => [name.toLowerCase(), value])),
        socket,
        pass: (answer = established) => this.#pass(socket, target, answer),
      };
      this.requests.push(request);
      this.script(request);
    };
    socket.on("data", read);
  }

  #pass(near: Socket, target: string, answer: string): void {
    const far = this.#keep(connect(Number(/:(\d+)$/.exec(target)?.[1]), host));
    far.once("connect", () => near.write(answer));
    for (const [socket, peer] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.once("close", () => peer.destroy());
      socket.pipe(peer);
    }
  }
}

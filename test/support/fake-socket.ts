import { EventEmitter } from "node:events";
import type { Socket } from "node:net";

/** As much of a socket as what only counts sockets looks at. */
export class FakeSocket extends EventEmitter {
  destroyed = false;
  bytesRead = 0;
  readonly remoteAddress: string;
  readonly remotePort: number;

  constructor(remoteAddress: string, remotePort: number) {
    super();
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  /** As Node does, it tells of its close later; here when the test says so. */
  destroy(): void {
    this.destroyed = true;
  }

  get asSocket(): Socket {
    return this as unknown as Socket;
  }
}

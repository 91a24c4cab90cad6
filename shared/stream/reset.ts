import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/**
 * Destroys `duplex` with `error`, so that the peer of a plain TCP socket sees a reset. Node's `destroy` sends it FIN, after which a
 * truncated transfer looks like a complete one. TLS has a close of its own that is missing then, and a Unix socket has no reset.
 * A socket whose FIN is on its way out is reset once that has gone.
 */
export function reset(duplex: Duplex, error: Error): void {
  const plainTcp = duplex instanceof Socket && !(duplex instanceof TLSSocket) && duplex.remoteAddress !== undefined;
  if (!plainTcp || duplex.destroyed) duplex.destroy(error);
  else if (isShuttingDown(duplex)) duplex.once("finish", () => duplex.resetAndDestroy());
  else duplex.resetAndDestroy();
}

/**
 * Its FIN is on the way to the kernel: libuv refuses a reset then (EINVAL), and Node calls the socket closed, emits no "close" and
 * keeps the descriptor. It takes a turn of the event loop, since Node asks for the FIN once all before it has been written.
 */
const isShuttingDown = (socket: Socket): boolean =>
  socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;

import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/**
 * Destroys `duplex` with `error`, so that the peer of a plain TCP socket sees a reset. Node's `destroy` sends it FIN, after which a
 * truncated transfer looks like a complete one. TLS has a close of its own that is missing then, and a Unix socket has no reset.
 */
export function reset(duplex: Duplex, error: Error): void {
  const plainTcp = duplex instanceof Socket && !(duplex instanceof TLSSocket) && duplex.remoteAddress !== undefined;
  if (plainTcp && !duplex.destroyed) duplex.resetAndDestroy();
  else duplex.destroy(error);
}

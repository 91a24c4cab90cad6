import type { Socket } from "node:net";
import { constants } from "node:os";
import { TLSSocket } from "node:tls";
import { ProxyError } from "../errors.ts";

/**
 * Destroys a socket whose peer has gone, which nobody else notices while the socket is not read: libuv does not poll it then.
 * What the peer had sent and nobody has read is lost with it. A peer that lives is sent nothing.
 * Seen are a reset over TCP, and on a Unix socket that the peer has closed both ways: there an empty write fails too.
 * Over TCP a peer that has left with bytes in its kernel that find no room here looks like one that lives, until its kernel gives those up.
 */
export function probePeer(socket: Socket): void {
  if (isDropped(socket)) socket.destroy(new ProxyError("cancelled", "the peer reset the connection"));
  // An empty write of TLS fails in silence. One that waits behind others adds nothing to what they will show.
  else if (!(socket instanceof TLSSocket) && socket.writable && socket.writableLength === 0) socket.write("");
}

/** A TCP socket that the kernel has dropped has no peer any more. Asked of Node's handle, since `remoteAddress` keeps its first answer. */
export function isDropped(socket: Socket): boolean {
  const { _handle: handle } = socket as { _handle?: { getpeername?(address: object): number } | null };
  return handle?.getpeername?.({}) === -constants.errno.ENOTCONN;
}

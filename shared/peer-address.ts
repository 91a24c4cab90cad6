import type { Socket } from "node:net";
import { hostPort } from "./host-port.ts";

/** `host:port` of the other end, IPv6 in brackets; `unix` where there is no address. */
export function peerOf(socket: Socket): string {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined || remotePort === undefined ? "unix" : hostPort(remoteAddress, remotePort);
}

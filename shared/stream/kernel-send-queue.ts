import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { endianness } from "node:os";
import { ipBytes } from "../ip-bytes.ts";

/**
 * How many bytes the kernel holds for the peer of a TCP socket: those that it has not sent yet, and those that were not
 * acknowledged. Undefined where that cannot be known: on another system than Linux, for a socket that is no TCP socket, not
 * connected or gone.
 * Reads the kernel's table of all connections: meant for a rare look at one socket. Never rejects.
 * Source: https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
 */
export async function kernelSendQueueBytes(socket: Socket): Promise<number | undefined> {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  const table = await readTable(remoteAddress.includes(":") ? "tcp6" : "tcp");
  const ends = `${inTable(localAddress, localPort)} ${inTable(remoteAddress, remotePort)} `;
  const at = table?.indexOf(ends, 0, "latin1") ?? -1;
  if (table === undefined || at < 0) return undefined;
  // After the addresses: the state in two digits, a space, the send queue in eight, all hexadecimal.
  const queueAt = at + ends.length + 3;
  return Number.parseInt(table.toString("latin1", queueAt, queueAt + 8), 16);
}

async function readTable(name: "tcp" | "tcp6"): Promise<Buffer | undefined> {
  try {
    return await readFile(`/proc/self/net/${name}`);
  } catch {
    return undefined;
  }
}

/** The table has addresses as 32-bit words in the machine's byte order, and ports as numbers. */
function inTable(address: string, port: number): string {
  const bytes = ipBytes(address.replace(/%.*/, ""));
  if (endianness() === "LE") bytes.swap32();
  return `${bytes.toString("hex")}:${port.toString(16).padStart(4, "0")}`.toUpperCase();
}

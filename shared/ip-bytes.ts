import { isIPv4 } from "node:net";

/** An IP address, 4 or 16 bytes in network order. `address` is one that `isIP` accepts, without a zone. */
export function ipBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  // The URL parser writes any form as plain hexadecimal groups with at most one `::`, also one that ends in dotted IPv4.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::").map(groupsOf);
  const [head = [], tail = []] = groups;
  const gap = new Array<number>(8 - head.length - tail.length).fill(0);
  return Buffer.from([...head, ...gap, ...tail].flatMap((group) => [group >> 8, group & 0xff]));
}

const groupsOf = (text: string): number[] => (text === "" ? [] : text.split(":").map((group) => parseInt(group, 16)));

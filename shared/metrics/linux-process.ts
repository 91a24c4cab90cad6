import { readFileSync } from "node:fs";
import { type Registry, reading } from "./registry.ts";

/** What Go's collector shows where a limit is `unlimited`: the largest unsigned 64-bit number, as near as a float comes. */
const unlimited = 2 ** 64;

/**
 * Adds what Prometheus' Go client tells of a process on Linux and prom-client does not: `process_network_*_bytes_total` and
 * `process_virtual_memory_max_bytes`. The bytes are those of the whole network namespace, loopback included, as Go's are.
 * Names, HELP and places in /proc are the Go client's. Each family is left out where /proc does not tell it.
 */
export function addLinuxProcessMetrics(registry: Registry, proc = "/proc/self"): void {
  const netstat = `${proc}/net/netstat`;
  reading(registry, {
    type: "counter",
    name: "process_network_receive_bytes_total",
    help: "Number of bytes received by the process over the network.",
    read: () => netstatField(textOf(netstat), "IpExt", "InOctets"),
  });
  reading(registry, {
    type: "counter",
    name: "process_network_transmit_bytes_total",
    help: "Number of bytes sent by the process over the network.",
    read: () => netstatField(textOf(netstat), "IpExt", "OutOctets"),
  });
  reading(registry, {
    type: "gauge",
    name: "process_virtual_memory_max_bytes",
    help: "Maximum amount of virtual memory available in bytes.",
    read: () => softLimit(textOf(`${proc}/limits`), "Max address space"),
  });
}

/** Empty where there is no such file, as on anything but Linux. */
function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** Lines stand in pairs: `Protocol: name name`, then `Protocol: value value`. Source: proc_pid_net(5). */
function netstatField(text: string, protocol: string, name: string): number | undefined {
  const [names = [], values = []] = text
    .split("\n")
    .filter((line) => line.startsWith(`${protocol}: `))
    .map((line) => line.split(" "));
  return wholeNumber(values[names.indexOf(name)]);
}

/** The first of the two values behind the limit's name. Source: proc_pid_limits(5). */
function softLimit(text: string, limit: string): number | undefined {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${limit} `));
  const soft = line?.slice(limit.length).trim().split(/\s+/)[0];
  return soft === "unlimited" ? unlimited : wholeNumber(soft);
}

const wholeNumber = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

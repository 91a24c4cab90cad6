import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { UsageError } from "./errors.ts";
import { hostPort } from "./host-port.ts";

/** Where to listen: an empty `host` is every interface; `path` is a Unix socket's. */
export type ListenPlace = { readonly host: string; readonly port: number } | { readonly path: string };

/** What stands in the way of listening there, and what to do. `label` is the flag or purpose that it was for. */
export function listenError(label: string, place: ListenPlace, cause: NodeJS.ErrnoException): UsageError {
  const where = "path" in place ? place.path : hostPort(place.host || "*", place.port);
  return new UsageError(`${label}: cannot listen on ${where}: ${reasonOf(place, cause)}`, { cause });
}

function reasonOf(place: ListenPlace, { code, message }: NodeJS.ErrnoException): string {
  const isPath = "path" in place;
  switch (code) {
    case "EADDRINUSE":
      return `address already in use; stop what listens there or choose another ${isPath ? "path" : "port"}`;
    case "EACCES":
      if (!isPath) return "permission denied; choose a port from 1024 on";
      // libuv turns the ENOENT of a bind to a path into EACCES, as Windows would have it.
      return existsSync(dirname(place.path)) ? "permission denied" : "the directory does not exist";
    case "EADDRNOTAVAIL":
      return "this machine has no such address";
    default:
      return message;
  }
}

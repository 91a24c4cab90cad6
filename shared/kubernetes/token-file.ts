import { readFileSync } from "node:fs";
import type { Clock } from "../clock.ts";
import { UsageError } from "../errors.ts";
import type { Log } from "../log.ts";

/** Longer tokens are neither sent nor reviewed. */
export const tokenMaxBytes = 16_384;
/** kubelet renews a mounted token long before it ends, so a minute late is early enough. */
const rereadEveryMs = 60_000;

/**
 * Reads a bearer token, without the white space around it. Throws a UsageError of one sentence that names the file:
 * it cannot be read, is empty, or holds what no header can carry. Reads synchronously: such a file is small and in memory.
 */
export function readToken(path: string): string {
  let token: string;
  try {
    token = readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw new UsageError(`the token file ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (token === "") throw new UsageError(`the token file ${path} is empty`);
  if (token.length > tokenMaxBytes) throw new UsageError(`the token in ${path} is longer than ${tokenMaxBytes} bytes`);
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError(`the token file ${path} holds more than one token, or none`);
  return token;
}

/** A token in a file that somebody else renews: read again when it is asked for and a minute has passed. */
export class TokenFile {
  readonly #deps: { readonly clock: Clock; readonly log: Log };
  readonly #path: string;
  #token: string;
  #readAt: number;

  /** Reads the file for the first time. Throws as `readToken`. */
  constructor(deps: { readonly clock: Clock; readonly log: Log }, path: string) {
    this.#deps = deps;
    this.#path = path;
    this.#token = readToken(path);
    this.#readAt = deps.clock.now();
  }

  /** The newest token that could be read: while the file is broken, the last good one goes on. */
  get current(): string {
    const { clock, log } = this.#deps;
    if (clock.now() - this.#readAt < rereadEveryMs) return this.#token;
    this.#readAt = clock.now();
    try {
      this.#token = readToken(this.#path);
    } catch (error) {
      log.warn({ err: error }, "token not renewed; the last one goes on");
    }
    return this.#token;
  }
}

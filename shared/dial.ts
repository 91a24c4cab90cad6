import { randomFillSync } from "node:crypto";
import type { DialSignal } from "./dial-signal.ts";
import type { ProxyError } from "./errors.ts";
import type { SpliceEnd } from "./stream/splice.ts";

declare const dialIdTag: unique symbol;
/** The number that follows one connection through both halves: the client's 63-bit `random`. Logged in decimal. */
export type DialId = bigint & { readonly [dialIdTag]: "DialId" };

export const asDialId = (random: bigint): DialId => random as DialId;

/** Random numbers for ids to come: asked for one at a time, they were a thirtieth of the work of a dial. */
const idPool = new BigUint64Array(256);
let idsLeft = 0;

/** A fresh id for a frontend whose protocol has none (HTTP CONNECT). */
export function randomDialId(): DialId {
  if (idsLeft === 0) {
    randomFillSync(idPool);
    idsLeft = idPool.length;
  }
  idsLeft -= 1;
  return asDialId((idPool[idsLeft] ?? 0n) >> 1n);
}

/** What an agent is to connect to. */
export interface Target {
  /** `tcp` is the only one that is served. */
  readonly protocol: string;
  /** `host:port` as the client wrote it, IPv6 in brackets. */
  readonly address: string;
}

/**
 * One request to connect, on its way from a frontend to the server's dialer, or from a link to the agent's dial handler.
 * Exactly one of `accept` and `refuse` is called, once, unless `signal` aborts first; after that both do nothing.
 */
export interface DialRequest {
  readonly id: DialId;
  readonly target: Target;
  /** Aborts when the asking side has gone or has cancelled. Its reason is a ProxyError. */
  readonly signal: DialSignal;
  /**
   * Tells the asking side that the connection stands, and resolves to its end of it.
   * `end()` there is a half-close, or a full close where `halfClose` is false; `destroy(error)` aborts.
   * Rejects with a ProxyError if the asking side has gone meanwhile.
   */
  accept(details: { readonly reached?: string }): Promise<SpliceEnd>;
  refuse(error: ProxyError): void;
}

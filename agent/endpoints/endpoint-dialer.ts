import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { connect, isIP, type Socket } from "node:net";
import { Cancellation } from "../../shared/cancellation.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Target } from "../../shared/dial.ts";
import { DialController, type DialSignal } from "../../shared/dial-signal.ts";
import { ProxyError } from "../../shared/errors.ts";
import { hostPort } from "../../shared/host-port.ts";
import { DialTimeout, describeDialFailure } from "../../shared/konnectivity/dial-error-text.ts";

/** From order to connected socket, name lookup included. */
export const endpointDialTimeoutMs = 5_000;
/** Between the starts of attempts on a name's addresses (RFC 8305). */
const attemptIntervalMs = 250;
/** Endpoint sockets are probed after this long without a byte, so that a vanished endpoint is noticed. */
const keepAliveMs = 15_000;
/** Lookups occupy the runtime's four worker threads; more than this at once would keep file access waiting behind DNS. */
export const lookupsMax = 2;

export interface EndpointConnection {
  readonly socket: Socket;
  /** `address:port` that answered. */
  readonly reached: string;
}

export type Lookup = (host: string) => Promise<readonly LookupAddress[]>;

const systemLookup: Lookup = (host) =>
  new Promise((resolve, reject) => {
    dnsLookup(host, { all: true, verbatim: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)));
  });

/** Connects to endpoints: TCP only, every address of a name, within one deadline. */
export class EndpointDialer {
  readonly #clock: Clock;
  readonly #lookup: Lookup;
  #lookups = 0;
  readonly #waitingLookups = new Set<() => void>();

  constructor(deps: { readonly clock: Clock; readonly lookup?: Lookup }) {
    this.#clock = deps.clock;
    this.#lookup = deps.lookup ?? systemLookup;
  }

  /**
   * Rejects with a ProxyError whose message is what Go's dialer would say; when `signal` aborts, with its reason.
   * The socket is paused, half-open capable, without Nagle's delay, and has no listener of ours left.
   */
  async dial(target: Target, options: { readonly signal: DialSignal }): Promise<EndpointConnection> {
    const limit = new Cancellation(
      { clock: this.#clock },
      {
        controller: new DialController(),
        signal: options.signal,
        limitMs: endpointDialTimeoutMs,
        lateReason: () => new DialTimeout(),
      },
    );
    const { signal } = limit;
    try {
      const { host, port } = parseTarget(target);
      const addresses = isIP(host) ? [{ address: host, family: isIP(host) }] : await this.#resolve(host, signal);
      return await this.#connectAny(interleave(addresses), port, signal);
    } catch (cause) {
      if (options.signal.aborted) throw options.signal.reason;
      throw describeDialFailure({ ...target, cause });
    } finally {
      limit.release();
    }
  }

  async #resolve(host: string, signal: DialSignal): Promise<readonly LookupAddress[]> {
    await this.#lookupTurn(signal);
    // A lookup cannot be cancelled: it keeps its turn until it ends, also when nobody waits for it any more.
    const result = this.#lookup(host).finally(() => {
      this.#lookups -= 1;
      this.#wakeNextLookup();
    });
    const addresses = await abortable(result, signal);
    if (addresses.length === 0) throw Object.assign(new Error("the name has no address"), { code: "ENOTFOUND" });
    return addresses;
  }

  async #lookupTurn(signal: DialSignal): Promise<void> {
    while (this.#lookups >= lookupsMax) {
      let wake = () => {};
      const turn = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waitingLookups.add(wake);
      try {
        await abortable(turn, signal);
      } catch (reason) {
        // A turn that has come already goes to the next.
        if (!this.#waitingLookups.delete(wake)) this.#wakeNextLookup();
        throw reason;
      }
    }
    this.#lookups += 1;
  }

  #wakeNextLookup(): void {
    for (const wake of this.#waitingLookups) {
      this.#waitingLookups.delete(wake);
      return wake();
    }
  }

  /** Starts an attempt on each address in turn, 250 ms apart or as soon as one fails. The first that connects wins. */
  #connectAny(addresses: readonly LookupAddress[], port: number, signal: DialSignal): Promise<EndpointConnection> {
    return new Promise((resolve, reject) => {
      const sockets = new Set<Socket>();
      let next = 0;
      let firstFailure: unknown;
      let stopTimer = () => {};
      const settle = (winner?: Socket) => {
        stopTimer();
        signal.removeEventListener("abort", aborted);
        for (const socket of sockets) if (socket !== winner) socket.destroy();
        // What becomes of the winner later is its owner's affair, and starts no other attempt.
        sockets.clear();
      };
      const aborted = () => {
        settle();
        reject(signal.reason);
      };
      const attempt = () => {
        stopTimer();
        const candidate = addresses[next++];
        if (candidate === undefined) return;
        const { address } = candidate;
        const socket = connect({
          host: address,
          port,
          allowHalfOpen: true,
          noDelay: true,
          keepAlive: true,
          keepAliveInitialDelay: keepAliveMs,
        });
        sockets.add(socket);
        socket.once("connect", () => {
          settle(socket);
          resolve({ socket, reached: hostPort(address, port) });
        });
        // The listener stays: between this and the next owner's a reset must not end the process.
        socket.on("error", (error) => {
          if (!sockets.delete(socket)) return;
          firstFailure ??= error;
          if (next < addresses.length) return attempt();
          if (sockets.size > 0) return;
          settle();
          reject(firstFailure);
        });
        if (next < addresses.length) stopTimer = this.#clock.after(attemptIntervalMs, attempt);
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", aborted, { once: true });
      attempt();
    });
  }
}

/** `host` without brackets. Throws a ProxyError in Go's words. */
function parseTarget({ protocol, address }: Target): { readonly host: string; readonly port: number } {
  if (protocol !== "tcp")
    throw new ProxyError("protocol", `dial ${protocol}: unknown network ${protocol}`, { reportedBy: "agent" });
  const refuse = (why: string): never => {
    throw new ProxyError("protocol", `dial tcp: address ${address}: ${why}`, { reportedBy: "agent" });
  };
  const match = /^(?:\[([^[\]]+)\]|([^:[\]]*)):([^:]*)$/.exec(address);
  if (match === null)
    return refuse(
      /:[^\]]*:/.test(address.replace(/\[.*\]/, "")) ? "too many colons in address" : "missing port in address",
    );
  const portText = match[3] ?? "";
  const port = Number(portText);
  if (!/^\d+$/.test(portText) || port < 1 || port > 65_535) return refuse("invalid port");
  return { host: match[1] ?? (match[2] || "localhost"), port };
}

/** Families alternate, beginning with the resolver's first (RFC 8305, section 4). */
function interleave(addresses: readonly LookupAddress[]): readonly LookupAddress[] {
  if (addresses.length < 2) return addresses;
  const first = addresses.filter(({ family }) => family === addresses[0]?.family);
  const second = addresses.filter(({ family }) => family !== addresses[0]?.family);
  return first
    .flatMap((address, index) => [address, ...second.slice(index, index + 1)])
    .concat(second.slice(first.length));
}

function abortable<T>(work: Promise<T>, signal: DialSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const aborted = () => reject(signal.reason);
    signal.addEventListener("abort", aborted, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}

import { type IncomingMessage, request } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../clock.ts";
import { hostPort } from "../host-port.ts";
import { cleanErrorText } from "../konnectivity/dial-error-text.ts";
import type { ProxyTarget } from "./no-proxy.ts";
import type { HttpProxy } from "./proxy-environment.ts";

export interface ConnectTunnelOptions {
  readonly proxy: HttpProxy;
  readonly target: ProxyTarget;
  readonly userAgent: string;
  /** For all of it, from the name of the proxy to its answer. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The answer's head; a proxy that sends more is not one. */
const headMaxBytes = 16 * 1024;

/**
 * Asks a proxy by CONNECT, over plain TCP, for a way to `target`. Resolves to the socket, which is the caller's from then on and
 * gives every byte behind the answer's head. Rejects with an Error whose message names the proxy, without its password, and what it
 * answered; or with the signal's reason. The socket is destroyed then.
 */
export function openConnectTunnel(deps: { readonly clock: Clock }, options: ConnectTunnelOptions): Promise<Socket> {
  const { proxy, target, userAgent, timeoutMs, signal } = options;
  if (signal?.aborted === true) return Promise.reject(signal.reason);
  const authority = hostPort(target.host, target.port);
  const outgoing = request({
    method: "CONNECT",
    host: proxy.host,
    port: proxy.port,
    path: authority,
    headers: {
      host: authority,
      "user-agent": userAgent,
      ...(proxy.authorization === undefined ? {} : { "proxy-authorization": proxy.authorization }),
    },
    agent: false,
    maxHeaderSize: headMaxBytes,
  });
  // Some proxies take `Connection: close`, which Node would send, at its word.
  outgoing.removeHeader("connection");
  return new Promise((resolve, reject) => {
    const fail = (reason: unknown) => {
      release();
      outgoing.destroy();
      reject(reason);
    };
    const failWith = (what: string) => fail(new Error(`proxy ${proxy.shown}: ${what}`));
    const onAbort = () => fail(signal?.reason);
    const cancelTimer = deps.clock.after(
      timeoutMs,
      () => failWith(`no answer to CONNECT ${authority} within ${timeoutMs} ms`),
      { keepAlive: true },
    );
    const release = () => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    // Only its words: the error itself may hold what the proxy sent, and that what we did. It may come again later.
    outgoing.on("error", ({ message }) => failWith(message));
    outgoing.once("connect", (response, socket: Socket, behindHead) => {
      if (!isSuccess(response)) {
        socket.destroy();
        return failWith(refusalText(response, authority));
      }
      release();
      if (behindHead.length > 0) socket.unshift(behindHead);
      resolve(socket);
    });
    outgoing.end();
  });
}

const isSuccess = ({ statusCode = 0 }: IncomingMessage): boolean => statusCode >= 200 && statusCode <= 299;

function refusalText({ statusCode, statusMessage = "" }: IncomingMessage, authority: string): string {
  const answer = `answered CONNECT ${authority} with ${cleanErrorText(`${statusCode} ${statusMessage}`.trim())}`;
  return statusCode === 407 ? `${answer}: is there the right user and password in HTTPS_PROXY?` : answer;
}

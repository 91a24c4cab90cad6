import { type IncomingMessage, request } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../shared/clock.ts";
import { type ErrorCode, ProxyError } from "../../shared/errors.ts";
import { classifyDialErrorText, cleanErrorText } from "../../shared/konnectivity/dial-error-text.ts";
import { limitDial } from "./dial-limit.ts";
import { type FrontendDial, openSocket } from "./frontend-address.ts";

/** More of a refusal than this is not read. */
const bodyMaxBytes = 4096;

/**
 * Opens a connection through an HTTP CONNECT frontend. The Duplex is the socket itself and knows half-close.
 * Rejects with a ProxyError whose message begins with the HTTP status if the proxy refused, `dial_timeout` if it did not answer,
 * with the socket's error if it cannot be reached or broke off, and with the signal's reason.
 */
export async function dialConnect(
  deps: { readonly clock: Clock },
  options: FrontendDial,
  { signal }: { readonly signal: AbortSignal },
): Promise<Duplex> {
  const limit = limitDial(deps.clock, options.timeoutMs, signal);
  try {
    return await connect(options, limit.signal);
  } catch (error) {
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    limit.stop();
  }
}

function connect({ frontend, target }: FrontendDial, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = openSocket(frontend, "http/1.1");
    const giveUp = () => socket.destroy(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    const settled = () => signal.removeEventListener("abort", giveUp);
    const fail = (error: Error) => {
      settled();
      socket.destroy();
      reject(error);
    };
    const ask = request({
      createConnection: () => socket,
      method: "CONNECT",
      path: target,
      headers: { Host: target },
    });
    ask.on("error", fail);
    // Node reports every answer to CONNECT so, whatever its status, and gives the socket back.
    ask.on("connect", (response: IncomingMessage, _stream: Duplex, head: Buffer) => {
      if (response.statusCode !== 200) {
        void readRefusal(response, socket, head).then(fail);
        return;
      }
      settled();
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    ask.end();
  });
}

/** The body of a refusal has no length: it ends with the connection. */
function readRefusal(response: IncomingMessage, socket: Socket, head: Buffer): Promise<ProxyError> {
  return new Promise((resolve) => {
    let body = Buffer.alloc(0);
    const done = () => {
      const text = cleanErrorText(body.toString("utf8")).trim();
      const status = response.statusCode ?? 0;
      const line = `${status} ${response.statusMessage}`.trim();
      resolve(new ProxyError(codeOf(status, text), text === "" ? line : `${line}: ${text}`));
    };
    const take = (chunk: Buffer) => {
      body = Buffer.concat([body, chunk]);
      if (body.length >= bodyMaxBytes) done();
    };
    socket.on("data", take);
    // What has come until a reset is still the answer.
    socket.on("error", () => {});
    socket.once("close", done).once("end", done);
    take(head);
  });
}

function codeOf(status: number, text: string): ErrorCode {
  switch (status) {
    case 403:
      return "denied";
    case 500:
      return "no_agent";
    case 503:
      return "over_limit";
    case 504:
      return "dial_timeout";
    default:
      return classifyDialErrorText(text);
  }
}

import { type IncomingMessage, request } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { connect, type TLSSocket } from "node:tls";

export interface HttpsQuestion {
  /** PEM of the only authority that is trusted. */
  readonly ca: string;
  /** Host that the certificate has to be for. */
  readonly host: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: Readable;
}

export interface HttpsAnswer {
  readonly status: number;
  /** SHA-256 fingerprint of the certificate that was verified. */
  readonly fingerprint: string;
  readonly body: IncomingMessage;
}

/**
 * Asks one HTTPS question over a Duplex, which is this function's from here on and is gone when the answer has been read.
 * Rejects with the TLS error if the certificate does not verify, and if the connection ends before the head of the answer; the
 * body fails with the signal's reason or the connection's error.
 */
export function askHttps(
  duplex: Duplex,
  question: HttpsQuestion,
  { signal }: { readonly signal: AbortSignal },
): Promise<HttpsAnswer> {
  const { ca, host, method, path, body } = question;
  const socket: TLSSocket = connect({ socket: duplex, ca, host, ALPNProtocols: ["http/1.1"] });
  socket.once("close", () => duplex.destroy());
  return new Promise((resolve, reject) => {
    const ask = request({ createConnection: () => socket, method, path, headers: { Host: host }, signal });
    ask.on("error", (error) => {
      body?.destroy();
      reject(signal.aborted ? signal.reason : error);
    });
    ask.on("response", (response) => {
      resolve({
        status: response.statusCode ?? 0,
        fingerprint: socket.getPeerX509Certificate()?.fingerprint256 ?? "",
        body: response,
      });
    });
    if (body === undefined) ask.end();
    else body.pipe(ask);
  });
}

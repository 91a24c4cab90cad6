import type { IncomingMessage } from "node:http";
import { Agent, type AgentOptions, type RequestOptions, request } from "node:https";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import type { Clock } from "../clock.ts";
import type { ProxyTarget } from "../http/no-proxy.ts";
import { version } from "../version.ts";
import { KubernetesError } from "./api.ts";
import type { ClusterAccess, ClusterTls } from "./cluster-access.ts";
import { TunnelAgent } from "./tunnel-agent.ts";

export interface HttpsCall {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string | undefined;
}

/** Calls under way at once; more wait for their turn, each within its own time limit. */
const socketsMax = 64;
const idleSocketMs = 60_000;
/** What writing to a kept connection fails with when the other end has closed it. */
const staleCodes: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "EPIPE"]);

/** HTTPS to one kube-apiserver, over connections that are used again. */
export class HttpsTransport {
  readonly #access: ClusterAccess;
  readonly #agent: Agent;

  constructor(deps: { readonly clock: Clock }, access: ClusterAccess) {
    const { proxy, tls, url } = access;
    this.#access = access;
    const options = { keepAlive: true, maxSockets: socketsMax, timeout: idleSocketMs, ...tlsOptions(tls) };
    this.#agent =
      proxy === undefined ? new Agent(options) : new TunnelAgent(deps, { proxy, target: addressOf(url) }, options);
  }

  /**
   * Sends a call; resolves to the answer's head, with the body still to be read. `signal` ends either at any time.
   * Rejects with a KubernetesError of status 0 if there is no answer, or with the signal's reason.
   */
  async send(call: HttpsCall, { signal }: { readonly signal: AbortSignal }): Promise<IncomingMessage> {
    try {
      return await this.#attempt(call, signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      // A kept connection that the server closed just now says nothing about the server.
      if (!(error instanceof StaleConnection)) throw unreachable(error);
    }
    try {
      return await this.#attempt(call, signal);
    } catch (error) {
      throw signal.aborted ? signal.reason : unreachable(error);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #attempt({ method, path, query, body }: HttpsCall, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { url } = this.#access;
      const token = this.#access.token();
      const search = new URLSearchParams(query).toString();
      const options: RequestOptions = {
        agent: this.#agent,
        ...addressOf(url),
        method,
        path: `${url.pathname.replace(/\/$/, "")}${path}${search === "" ? "" : `?${search}`}`,
        signal,
        headers: {
          accept: "application/json",
          "user-agent": `hawser/${version}`,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined
            ? {}
            : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
        },
      };
      const outgoing = request(options, resolve);
      outgoing.on("error", (error: NodeJS.ErrnoException) =>
        reject(outgoing.reusedSocket && staleCodes.has(error.code) ? new StaleConnection() : error),
      );
      outgoing.end(body);
    });
  }
}

/** Host and port of an `https:` URL. */
export function addressOf(url: URL): ProxyTarget {
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? 443 : Number(url.port) };
}

class StaleConnection extends Error {
  override readonly name = "StaleConnection";
  override readonly message = "kube-apiserver closed the connection";
}

function unreachable(error: unknown): KubernetesError {
  return new KubernetesError(0, "", `kube-apiserver cannot be reached: ${(error as Error).message}`, { cause: error });
}

function tlsOptions({ ca, verify, serverName, keyPair }: ClusterTls): AgentOptions {
  return {
    minVersion: "TLSv1.2",
    rejectUnauthorized: verify,
    ...(ca === undefined ? {} : { ca }),
    ...(keyPair === undefined ? {} : keyPair),
    ...(serverName === undefined
      ? {}
      : {
          // An address is no name for SNI, yet the certificate has to be for it.
          servername: isIP(serverName) === 0 ? serverName : "",
          checkServerIdentity: (_host: string, certificate) => checkServerIdentity(serverName, certificate),
        }),
  };
}

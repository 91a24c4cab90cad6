import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { type IssuedPair, issueCa, issueCertificate } from "../../shared/tls/issue.ts";

export interface ApiCall {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** Decoded JSON; undefined if there was none. */
  readonly body: unknown;
  /** Common name of the client's certificate. */
  readonly clientName: string | undefined;
}

/** What to do with one call: answer, never answer, close the connection, or whatever the function does with the response. */
export type ApiAnswer =
  | { readonly status: number; readonly body: unknown }
  | "hang"
  | "close"
  | ((response: ServerResponse) => void);

const host = "127.0.0.1";
const validityDays = 1;

/** kube-apiserver's place: HTTPS on a port of 127.0.0.1, JSON, and a script that says how each call is answered. */
export class FakeKubeApi {
  /** PEM. */
  readonly ca: string;
  /** Signed by `ca`, with the common name `client`. */
  readonly client: IssuedPair;
  /** Every call so far, oldest first. */
  readonly calls: ApiCall[] = [];
  script: (call: ApiCall) => ApiAnswer | Promise<ApiAnswer> = () => ({ status: 200, body: {} });
  readonly #server: Server;
  readonly #waiting = new Set<() => void>();
  #port = 0;

  private constructor(ca: IssuedPair) {
    this.ca = ca.cert;
    this.client = issueCertificate(ca, { commonName: "client", validityDays, usages: ["client"], names: [] });
    const { cert, key } = issueCertificate(ca, {
      commonName: "kube-apiserver",
      validityDays,
      usages: ["server"],
      names: [host, "kubernetes.default.svc"],
    });
    const options = { cert, key, ca: ca.cert, requestCert: true, rejectUnauthorized: false };
    this.#server = createServer(options, (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<FakeKubeApi> {
    const api = new FakeKubeApi(issueCa({ commonName: "cluster CA", validityDays }));
    await api.listen();
    return api;
  }

  get url(): string {
    return `https://${host}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens, after a `close` at the same port as before. */
  async listen(): Promise<void> {
    this.#server.listen(this.#port, host);
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Refuses connections from now on, and drops those that stand. */
  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Resolves when there were so many calls in all. */
  async called(count: number): Promise<void> {
    while (this.calls.length < count) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** A kubeconfig, in JSON, which is YAML too. `user` goes in as it stands. */
  kubeconfig(user: Readonly<Record<string, unknown>> = { token: "server-token" }): string {
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "main",
      contexts: [{ name: "main", context: { cluster: "fake", user: "server" } }],
      clusters: [
        {
          name: "fake",
          cluster: { server: this.url, "certificate-authority-data": Buffer.from(this.ca).toString("base64") },
        },
      ],
      users: [{ name: "server", user }],
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that leaves in the middle is part of some tests.
    request.on("error", () => {});
    response.on("error", () => {});
    const text = (await request.toArray()).join("");
    const url = new URL(request.url ?? "/", this.url);
    const certificate = (request.socket as TLSSocket).getPeerX509Certificate();
    const call: ApiCall = {
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
      clientName: certificate?.subject.replace("CN=", ""),
    };
    const answer = await this.script(call);
    if (answer === "close") request.socket.destroy();
    else if (typeof answer === "function") answer(response);
    else if (answer !== "hang") {
      response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
    }
    this.calls.push(call);
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** How kube-apiserver says no. */
export function statusAnswer(code: number, reason: string, message: string): ApiAnswer {
  return { status: code, body: { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message } };
}

/** A TokenReview that comes back with this status. */
export function reviewAnswer(status: Readonly<Record<string, unknown>>): ApiAnswer {
  return { status: 201, body: { kind: "TokenReview", apiVersion: "authentication.k8s.io/v1", status } };
}

import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { pipeline } from "node:stream/promises";
import { Payload } from "./payload.ts";

/** Trailer that carries the SHA-256 of what was sent. */
export const digestTrailer = "x-sha256";

/** What `GET /` answers. */
export const greeting = "Hello from the kubelet's place.\n";

/** What `POST /sink` answers. */
export interface SinkReport {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * The endpoint of the demo, in a kubelet's place: HTTPS, not listening yet.
 * `GET /` a greeting; `GET /bytes?count=N` random bytes, their digest as trailer; `GET /stream` the same without an end, until
 * `POST /stop`; `POST /sink` answers with the size and digest of what it got; `GET /together?count=N` answers nobody before N have asked.
 */
export function kubeletServer(tls: { readonly cert: string; readonly key: string }): Server {
  const kubelet = new Kubelet();
  return createServer(tls, (request, response) => {
    // A client that leaves in the middle is what the demo shows; it is told there.
    kubelet.answer(request, response).catch(() => response.destroy());
  });
}

class Kubelet {
  readonly #streams = new Set<Payload>();
  #gathering: ServerResponse[] = [];

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "https://kubelet");
    const count = Number(searchParams.get("count"));
    switch (`${request.method} ${pathname}`) {
      case "GET /":
        response.end(greeting);
        return;
      case "GET /bytes":
        return await send(new Payload(count), response);
      case "GET /stream":
        return await this.#stream(response);
      case "POST /stop":
        for (const payload of this.#streams) payload.finish();
        response.end();
        return;
      case "POST /sink":
        return await receive(request, response);
      case "GET /together":
        return this.#gather(response, count);
      default:
        response.writeHead(404).end();
    }
  }

  async #stream(response: ServerResponse): Promise<void> {
    const payload = new Payload(Number.POSITIVE_INFINITY);
    this.#streams.add(payload);
    try {
      await send(payload, response);
    } finally {
      this.#streams.delete(payload);
    }
  }

  #gather(response: ServerResponse, count: number): void {
    this.#gathering.push(response);
    response.once("close", () => {
      this.#gathering = this.#gathering.filter((other) => other !== response);
    });
    if (this.#gathering.length < count) return;
    for (const one of this.#gathering.splice(0)) one.end(`${count}\n`);
  }
}

async function send(payload: Payload, response: ServerResponse): Promise<void> {
  response.writeHead(200, { "Content-Type": "application/octet-stream", Trailer: digestTrailer });
  response.flushHeaders();
  await pipeline(payload, response, { end: false });
  response.addTrailers({ [digestTrailer]: payload.digest });
  response.end();
}

async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  const report: SinkReport = { bytes, sha256: hash.digest("hex") };
  response.end(JSON.stringify(report));
}

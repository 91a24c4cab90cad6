import { once } from "node:events";
import { readFileSync } from "node:fs";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { carryPath, linkPath } from "../../shared/tunnel/headers.ts";
import {
  decodeLaneMessage,
  decodeLinkMessage,
  encodeLaneMessage,
  encodeLinkMessage,
  type LaneMessage,
  type LinkMessage,
  type UnknownMessage,
} from "../../shared/tunnel/messages.ts";
import type { TestCertificates } from "./certificates.ts";
import { Inbox, MessageChannel } from "./message-channel.ts";
import { agentSocket, rawAgentHost } from "./raw-agent.ts";
import type { Tunnel } from "./tunnel.ts";

const linkCodec = { decode: decodeLinkMessage, encode: encodeLinkMessage };
const laneCodec = { decode: decodeLaneMessage, encode: encodeLaneMessage };
export type RawLink = MessageChannel<LinkMessage | UnknownMessage>;
export type RawLane = MessageChannel<LaneMessage | UnknownMessage>;

/** How a call ended at its client: gRPC's status, undefined if none came. */
export interface CallEnd {
  readonly status: number | undefined;
  readonly message: string;
}

/** The client's end of one call of the tunnel protocol. */
export interface RawCall<Channel> {
  readonly channel: Channel;
  readonly headers: Promise<IncomingHttpHeaders>;
  readonly end: Promise<CallEnd>;
}

const grpcHeaders = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };
export const tokenKey = "hawser-link-token-bin";

/** An agent of the tunnel protocol that does only what a test tells it. */
export class RawTunnelAgent {
  readonly socket: Socket;
  readonly #http2: ClientHttp2Session;

  constructor(socket: Socket) {
    this.socket = socket;
    this.#http2 = connect("http://127.0.0.1", { createConnection: () => socket });
    this.#http2.on("error", () => {});
  }

  static async connect(tunnel: Tunnel): Promise<RawTunnelAgent> {
    return new RawTunnelAgent(await agentSocket(tunnel));
  }

  get sessionClosed(): boolean {
    return this.#http2.closed || this.#http2.destroyed;
  }

  callLink(headers: Readonly<Record<string, string>> = {}): RawCall<RawLink> {
    const stream = this.#request(linkPath, {
      agentid: "raw-agent",
      agentidentifiers: `ipv4=${rawAgentHost}`,
      ...headers,
    });
    return clientCall(stream, new MessageChannel(stream, linkCodec));
  }

  /** Without a token if none is given. */
  callCarry(token?: Buffer | string): RawCall<RawLane> {
    const text = typeof token === "string" ? token : token?.toString("base64");
    const stream = this.#request(carryPath, text === undefined ? {} : { [tokenKey]: text });
    return clientCall(stream, new MessageChannel(stream, laneCodec));
  }

  /** Resolves when the server has taken all that was sent before. */
  async ping(): Promise<void> {
    await new Promise((resolve) => this.#http2.ping(resolve));
  }

  /** GOAWAY, and no more: what runs goes on at this end. */
  goaway(code: number): void {
    this.#http2.goaway(code);
  }

  /** Node's client half-closes a stream before it resets it. With trailers to wait for it does not, as other clients don't. */
  #request(path: string, headers: Readonly<Record<string, string>>): ClientHttp2Stream {
    const stream = this.#http2.request({ ...grpcHeaders, ":path": path, ...headers }, { waitForTrailers: true });
    stream.on("wantTrailers", () => {
      if (!stream.closed) stream.sendTrailers({});
    });
    return stream;
  }

  async close(): Promise<void> {
    const closed = this.#http2.destroyed ? undefined : once(this.#http2, "close");
    this.#http2.destroy();
    this.socket.destroy();
    await closed;
  }
}

function clientCall<Channel extends { readonly closed: Promise<number> }>(
  stream: ClientHttp2Stream,
  channel: Channel,
): RawCall<Channel> {
  let last: IncomingHttpHeaders = {};
  stream.on("trailers", (trailers) => {
    last = trailers;
  });
  const headers = once(stream, "response").then(([head]) => {
    last = { ...head, ...last };
    return head as IncomingHttpHeaders;
  });
  headers.catch(() => {});
  const end = channel.closed.then(() => {
    const status = last["grpc-status"];
    const message = decodeURIComponent(String(last["grpc-message"] ?? ""));
    return { status: status === undefined ? undefined : Number(status), message };
  });
  return { channel, headers, end };
}

/** An agent that the server has welcomed. */
export interface WelcomedAgent {
  readonly agent: RawTunnelAgent;
  readonly link: RawCall<RawLink>;
  readonly token: Buffer;
  /** Resolves when the server counts the lane. */
  openLane(): Promise<RawCall<RawLane>>;
}

/** Links an agent; `close` it by its `agent`. */
export async function linkRawTunnel(
  tunnel: Tunnel,
  headers: Readonly<Record<string, string>> = {},
): Promise<WelcomedAgent> {
  const agent = await RawTunnelAgent.connect(tunnel);
  const link = agent.callLink(headers);
  const { token } = await link.channel.next("welcome");
  return {
    agent,
    link,
    token,
    async openLane() {
      const lane = agent.callCarry(token);
      await lane.headers;
      return lane;
    },
  };
}

/** What an agent has called. */
export interface ServedCall<Channel> {
  readonly channel: Channel;
  readonly stream: ServerHttp2Stream;
  readonly session: ServerHttp2Session;
  readonly headers: IncomingHttpHeaders;
  /** Sends the response headers. */
  respond(headers?: Readonly<Record<string, string>>): void;
  /** Ends the call with a status; with trailers alone if nothing was sent. */
  finish(status: number, message?: string): void;
}

/** A server of the tunnel protocol that does only what a test tells it, with the cluster's certificate. */
export class RawTunnelServer {
  readonly port: number;
  /** Links that agents have called, in order. */
  readonly links = new Inbox<ServedCall<RawLink>>();
  readonly lanes = new Inbox<ServedCall<RawLane>>();
  /** Calls of the reference's link; nothing answers them but a test. */
  readonly connects = new Inbox<ServedCall<MessageChannel<Buffer>>>();
  laneCount = 0;
  readonly #server: Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();

  private constructor(server: Http2SecureServer) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {});
      session.on("close", () => this.#sessions.delete(session));
    });
    server.on("stream", (stream, headers) => this.#serve(stream, headers));
  }

  static async start({ cluster }: TestCertificates): Promise<RawTunnelServer> {
    const server = createSecureServer({
      cert: readFileSync(cluster.cert),
      key: readFileSync(cluster.key),
      settings: { maxConcurrentStreams: 2 ** 31 - 1 },
      maxSessionMemory: 1_000,
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new RawTunnelServer(server);
  }

  /** The next agent's link, welcomed with this token. */
  async welcome(token: Buffer = Buffer.alloc(16, 7)): Promise<ServedCall<RawLink>> {
    const link = await this.nextLink();
    link.respond({ serverid: "raw-server", servercount: "1" });
    link.channel.send({ type: "welcome", token });
    return link;
  }

  async nextLink(): Promise<ServedCall<RawLink>> {
    return required(await this.links.take("a Link"));
  }

  /** The next lane that an agent opens, with its headers sent. */
  async nextLane(): Promise<ServedCall<RawLane>> {
    const lane = required(await this.lanes.take("a Carry"));
    lane.respond();
    return lane;
  }

  /** Drops every connection, and what has come on them and was not taken. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
    for (const inbox of [this.links, this.lanes, this.connects]) inbox.takeAll();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on("error", () => {});
    const path = headers[":path"];
    if (path === linkPath) this.links.put(serverCall(stream, headers, new MessageChannel(stream, linkCodec)));
    else if (path === carryPath) {
      this.laneCount += 1;
      this.lanes.put(serverCall(stream, headers, new MessageChannel(stream, laneCodec)));
    } else {
      const bytes = { decode: (message: Buffer) => message, encode: (message: Buffer) => [message] };
      this.connects.put(serverCall(stream, headers, new MessageChannel<Buffer>(stream, bytes)));
    }
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the server has stopped");
  return value;
}

function serverCall<Channel>(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  channel: Channel,
): ServedCall<Channel> {
  let trailers: Record<string, string> = { "grpc-status": "0" };
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  const head = { ":status": 200, "content-type": "application/grpc" };
  return {
    channel,
    stream,
    session: stream.session as ServerHttp2Session,
    headers,
    respond(more = {}) {
      if (!stream.destroyed && !stream.headersSent) stream.respond({ ...head, ...more }, { waitForTrailers: true });
    },
    finish(status, message = "") {
      trailers = { "grpc-status": `${status}`, "grpc-message": encodeURIComponent(message) };
      if (stream.destroyed) return;
      if (stream.headersSent) stream.end();
      else stream.respond({ ...head, ...trailers }, { endStream: true });
    },
  };
}

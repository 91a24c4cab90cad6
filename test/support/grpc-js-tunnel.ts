import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath } from "../../shared/proto.ts";
import type { TestCertificates } from "./certificates.ts";
import { Inbox } from "./message-channel.ts";

/** A message of tunnel.proto as protobufjs has it: one member of the oneof, and which one it is. */
export type JsMessage = { readonly message?: string } & Readonly<Record<string, unknown>>;

/** Long numbers as text, bytes as Buffers, and the name of the oneof's member in `message`. */
const definition = loadSync(protoPath("tunnel.proto"), {
  keepCase: true,
  longs: String,
  bytes: Buffer,
  oneofs: true,
  defaults: true,
});
const service = definition["hawser.tunnel.v1.TunnelService"] as unknown as grpc.ServiceDefinition;

/** One end of a call of grpc-js. */
export class JsCall {
  readonly inbox = new Inbox<JsMessage>();
  readonly #stream: Duplex;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", (message: JsMessage) => this.inbox.put(message));
    stream.on("end", () => this.inbox.end());
    stream.on("error", () => this.inbox.end());
  }

  /** Takes the next message and returns that member of it, which has to be the one that is set. */
  async next(member: string): Promise<Readonly<Record<string, unknown>>> {
    const found = await this.inbox.take(member);
    if (found?.message === member) return found[member] as Readonly<Record<string, unknown>>;
    throw new Error(`expected ${member}, got ${JSON.stringify(found) ?? "the end of the call"}`);
  }

  /** Takes data until there are so many bytes. */
  async bytes(byteCount: number): Promise<Buffer> {
    let bytes = Buffer.alloc(0);
    while (bytes.length < byteCount) bytes = Buffer.concat([bytes, (await this.next("data")) as unknown as Buffer]);
    return bytes;
  }

  send(message: object): void {
    this.#stream.write(message);
  }

  end(): void {
    this.#stream.end();
  }
}

export class JsClientCall extends JsCall {
  readonly headers: Promise<grpc.Metadata>;
  readonly status: Promise<grpc.StatusObject>;
  readonly #call: grpc.ClientDuplexStream<object, JsMessage>;

  constructor(call: grpc.ClientDuplexStream<object, JsMessage>) {
    super(call as unknown as Duplex);
    this.#call = call;
    this.headers = new Promise((resolve) => call.on("metadata", resolve));
    this.status = new Promise((resolve) => call.on("status", resolve));
  }

  cancel(): void {
    this.#call.cancel();
  }
}

/** An agent made of grpc-js and tunnel.proto alone: nothing of it is ours. */
export class JsAgent {
  readonly #client: grpc.Client;

  constructor(certificates: TestCertificates, port: number) {
    const credentials = grpc.credentials.createSsl(
      readFileSync(certificates.agentCa),
      readFileSync(certificates.agent.key),
      readFileSync(certificates.agent.cert),
    );
    this.#client = new grpc.Client(`127.0.0.1:${port}`, credentials, { "grpc.use_local_subchannel_pool": 1 });
  }

  link(headers: Readonly<Record<string, string>>): JsClientCall {
    return this.#open("Link", headers);
  }

  carry(token: Buffer): JsClientCall {
    return this.#open("Carry", { "hawser-link-token-bin": token });
  }

  close(): void {
    this.#client.close();
  }

  #open(method: "Link" | "Carry", headers: Readonly<Record<string, string | Buffer>>): JsClientCall {
    const { path, requestSerialize, responseDeserialize } = service[method] as grpc.MethodDefinition<object, JsMessage>;
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
    return new JsClientCall(this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata));
  }
}

export class JsServerCall extends JsCall {
  readonly metadata: grpc.Metadata;
  readonly #call: grpc.ServerDuplexStream<JsMessage, object>;

  constructor(call: grpc.ServerDuplexStream<JsMessage, object>) {
    super(call as unknown as Duplex);
    this.metadata = call.metadata;
    this.#call = call;
    call.on("cancelled", () => this.inbox.end());
  }

  sendHeaders(headers: Readonly<Record<string, string>> = {}): void {
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
    this.#call.sendMetadata(metadata);
  }

  fail(code: grpc.status, details: string): void {
    this.#call.emit("error", { code, details });
  }
}

/** A server made of grpc-js and tunnel.proto alone. */
export class JsServer {
  readonly links = new Inbox<JsServerCall>();
  readonly lanes = new Inbox<JsServerCall>();
  readonly #server: grpc.Server;
  #port = 0;

  private constructor(server: grpc.Server) {
    this.#server = server;
    server.addService(service, {
      Link: (call: grpc.ServerDuplexStream<JsMessage, object>) => this.links.put(new JsServerCall(call)),
      Carry: (call: grpc.ServerDuplexStream<JsMessage, object>) => this.lanes.put(new JsServerCall(call)),
    });
  }

  static async start({ cluster }: TestCertificates): Promise<JsServer> {
    const server = new JsServer(new grpc.Server());
    const pair = { private_key: readFileSync(cluster.key), cert_chain: readFileSync(cluster.cert) };
    const credentials = grpc.ServerCredentials.createSsl(null, [pair], false);
    server.#port = await new Promise((resolve, reject) =>
      server.#server.bindAsync("127.0.0.1:0", credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
    return server;
  }

  get port(): number {
    return this.#port;
  }

  /** The next agent's link, welcomed with this token. */
  async welcome(token: Buffer = Buffer.alloc(16, 7)): Promise<JsServerCall> {
    const link = await this.#required(this.links.take("a Link"));
    link.sendHeaders({ serverid: "js-server", servercount: "1" });
    link.send({ welcome: { token } });
    return link;
  }

  /** The next lane, with its headers sent. */
  async nextLane(): Promise<JsServerCall> {
    const lane = await this.#required(this.lanes.take("a Carry"));
    lane.sendHeaders();
    return lane;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  async #required<T>(taken: Promise<T | undefined>): Promise<T> {
    const value = await taken;
    if (value === undefined) throw new Error("the server has stopped");
    return value;
  }
}

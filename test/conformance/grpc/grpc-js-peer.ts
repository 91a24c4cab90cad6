import * as grpc from "@grpc/grpc-js";
import {
  type Fields,
  type Handlers,
  type Implementation,
  Inbox,
  pathOf,
  type TestClient,
  type TestClientCall,
  type TestServer,
  type TestServerCall,
} from "./peers.ts";

const identity = (bytes: Buffer): Buffer => bytes;

/** grpc-js as the independent other end; messages are bytes, so that nothing but gRPC itself is between the two. */
export const grpcJs: Implementation = {
  name: "grpc-js",

  async serve(handlers: Handlers): Promise<TestServer> {
    const server = new grpc.Server();
    const definition: Record<string, grpc.MethodDefinition<Buffer, Buffer>> = {};
    const implementation: grpc.UntypedServiceImplementation = {};
    for (const [name, handler] of Object.entries(handlers)) {
      definition[name] = {
        path: pathOf(name),
        requestStream: true,
        responseStream: true,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      };
      implementation[name] = (call: grpc.ServerDuplexStream<Buffer, Buffer>) => void handler(adaptServerCall(call));
    }
    server.addService(definition, implementation);
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    return {
      port,
      stop: () => new Promise((resolve, reject) => server.tryShutdown((error) => (error ? reject(error) : resolve()))),
      async kill() {
        server.forceShutdown();
      },
    };
  },

  async connect(port: number): Promise<TestClient> {
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    await new Promise<void>((resolve, reject) =>
      client.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve())),
    );
    return {
      open(path, { fields = {}, deadlineMs } = {}) {
        const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
        return adaptClientCall(client.makeBidiStreamRequest(path, identity, identity, toMetadata(fields), options));
      },
      async close() {
        client.close();
      },
    };
  },
};

function toMetadata(fields: Fields): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [key, values] of Object.entries(fields)) for (const value of values) metadata.add(key, value);
  return metadata;
}

function toFields(metadata: grpc.Metadata): Fields {
  return Object.fromEntries(Object.keys(metadata.getMap()).map((key) => [key, metadata.get(key)]));
}

function adaptServerCall(call: grpc.ServerDuplexStream<Buffer, Buffer>): TestServerCall {
  const inbox = new Inbox();
  call.on("data", (message: Buffer) => inbox.put(message));
  call.on("end", () => inbox.end());
  call.on("error", () => inbox.end());
  let finish = () => {};
  const finished = new Promise<boolean>((resolve) => {
    finish = () => resolve(true);
    call.on("cancelled", () => {
      inbox.end();
      resolve(false);
    });
  });
  return {
    fields: toFields(call.metadata),
    finished,
    send: (message) => void call.write(message),
    next: () => inbox.next(),
    sendHeaders: (fields) => call.sendMetadata(toMetadata(fields)),
    finish({ code, message }) {
      if (code === 0) call.end();
      else call.emit("error", { code, details: message });
      finish();
    },
  };
}

function adaptClientCall(call: grpc.ClientDuplexStream<Buffer, Buffer>): TestClientCall {
  const inbox = new Inbox();
  call.on("data", (message: Buffer) => inbox.put(message));
  call.on("end", () => inbox.end());
  call.on("error", () => inbox.end());
  const status = new Promise<{ code: number; message: string }>((resolve) =>
    call.on("status", ({ code, details }) => resolve({ code, message: details })),
  );
  return {
    headers: Promise.race([
      new Promise<Fields>((resolve) => call.on("metadata", (metadata) => resolve(toFields(metadata)))),
      status.then(() => undefined),
    ]),
    status,
    send: (message) => void call.write(message),
    next: () => inbox.next(),
    end: () => call.end(),
    cancel: () => call.cancel(),
  };
}

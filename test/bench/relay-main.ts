import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createSecureContext, createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import { prepareRuntime } from "../../shared/runtime.ts";
import { openSslCiphers } from "../../shared/tls/policy.ts";

/**
 * What Node itself gives over the same two hops, as a mark for what a tunnel in it can reach: `near` takes connections at a Unix
 * socket and opens a TLS connection to `far` for each; `far` reads the CONNECT that comes through and connects to its target.
 * No multiplexing, and nothing that a tunnel is for. Cipher and settings of the runtime are Hawser's.
 */
prepareRuntime();
const host = "127.0.0.1";
const [role, ...args] = process.argv.slice(2);
const server = role === "near" ? near(args) : far(args);
server.once("listening", () => {
  const address = server.address();
  process.stdout.write(`${typeof address === "string" ? address : (address as AddressInfo).port}\n`);
});
process.stdin.resume().once("end", () => process.exit());

function near([path = "", port, ca = ""]: readonly string[]): Server {
  const secure = { host, port: Number(port), secureContext: createSecureContext({ ca: readFileSync(ca) }) };
  return createServer((socket) => join(socket, tlsConnect(secure).setNoDelay())).listen({ path, backlog: 4096 });
}

function far([cert = "", key = ""]: readonly string[]): Server {
  const options = { cert: readFileSync(cert), key: readFileSync(key), ciphers: openSslCiphers([]), noDelay: true };
  return createTlsServer(options, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (head) => {
      const [, target = "", targetPort] = /^CONNECT (\S+):(\d+) /.exec(head.toString("latin1")) ?? [];
      const endpoint = connect({ host: target, port: Number(targetPort), noDelay: true });
      endpoint.once("connect", () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
      join(socket, endpoint);
    });
  }).listen({ port: 0, host, backlog: 4096 });
}

/** Until one of them ends. */
function join(one: Socket, other: Socket): void {
  const pass = (from: Socket, to: Socket) => {
    from.on("error", () => {});
    from.once("close", () => to.destroy());
    from.pipe(to);
  };
  pass(one, other);
  pass(other, one);
}

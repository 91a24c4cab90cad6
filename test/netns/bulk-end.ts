import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";

/**
 * One end of a bulk transfer, as a program of its own, so that nothing else occupies it:
 *
 *   endpoint-tcp HOST               listens and prints its port
 *   endpoint-tls HOST PORT CA       opens one connection itself
 *   frontend-tunnel WAY SOCKET TARGET COUNT   through a CONNECT frontend
 *   frontend-tls WAY HOST CERT KEY  listens for one connection and prints its port
 *
 * The frontend says by its first word which way the bytes go. It prints what has arrived so far, over all its connections, as lines
 * `milliseconds bytes`; for what goes up the endpoint tells it. Both end with their standard input.
 */

const tellEveryMs = 100;
const chunk = Buffer.alloc(64 * 1024, "bulk");
const countBytes = 8;
let arrivedBytes = 0;

function send(socket: Socket): void {
  const more = () => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on("drain", more);
  more();
}

function playEndpoint(socket: Socket): void {
  socket.on("error", () => {});
  socket.once("data", (first: Buffer) => {
    if (String(first) === "down") return send(socket);
    let taken = 0;
    const tell = setInterval(() => {
      const count = Buffer.alloc(countBytes);
      count.writeBigUInt64BE(BigInt(taken));
      socket.write(count);
    }, tellEveryMs);
    socket.on("data", (data: Buffer) => {
      taken += data.length;
    });
    socket.once("close", () => clearInterval(tell));
  });
}

function playFrontend(socket: Socket, way: string): void {
  socket.write(way);
  if (way === "down") {
    socket.on("data", (data: Buffer) => {
      arrivedBytes += data.length;
    });
    return;
  }
  let told = 0;
  let sending = false;
  let rest = Buffer.alloc(0);
  socket.on("data", (data: Buffer) => {
    rest = Buffer.concat([rest, data]);
    for (; rest.length >= countBytes; rest = rest.subarray(countBytes)) {
      const count = Number(rest.readBigUInt64BE());
      arrivedBytes += count - told;
      told = count;
    }
    // The first count says that the word which way has been read by itself.
    if (!sending) send(socket);
    sending = true;
  });
}

async function throughTunnel(path: string, target: string): Promise<Socket> {
  const socket = connect(path);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const [answer] = (await once(socket, "data")) as [Buffer];
  if (!String(answer).startsWith("HTTP/1.1 200 ")) throw new Error(`CONNECT was answered with ${String(answer)}`);
  return socket;
}

async function listen(server: Server, host: string): Promise<void> {
  server.listen(0, host);
  await once(server, "listening");
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
}

const tellArrived = () =>
  setInterval(() => process.stdout.write(`${performance.now()} ${arrivedBytes}\n`), tellEveryMs);

const roles: Readonly<Record<string, (...args: string[]) => unknown>> = {
  "endpoint-tcp": (host = "") => listen(createServer({ noDelay: true }, playEndpoint), host),
  "endpoint-tls": (host = "", port = "", ca = "") =>
    playEndpoint(connectTls({ host, port: Number(port), ca: readFileSync(ca) })),
  "frontend-tunnel": async (way = "", path = "", target = "", count = "") => {
    const sockets = await Promise.all(Array.from({ length: Number(count) }, () => throughTunnel(path, target)));
    tellArrived();
    for (const socket of sockets) playFrontend(socket, way);
  },
  "frontend-tls": async (way = "", host = "", cert = "", key = "") => {
    const credentials = { cert: readFileSync(cert), key: readFileSync(key) };
    const server = createTlsServer(credentials, (socket) => {
      tellArrived();
      playFrontend(socket, way);
    });
    await listen(server, host);
  },
};

const [role = "", ...args] = process.argv.slice(2);
process.stdin.on("end", () => process.exit()).resume();
await roles[role]?.(...args);

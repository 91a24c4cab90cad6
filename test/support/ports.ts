import { createSocket } from "node:dgram";
import { createServer } from "node:net";

// Above what the reference takes for reserved, and below the range from which Linux hands out ports by itself, so that
// nobody takes one between its choice and its use.
const firstPort = 20_000;
const lastPort = 31_999;
// Processes with neighbouring pids begin in different blocks.
const blockLength = 100;
const blockCount = (lastPort - firstPort + 1) / blockLength;

const host = "127.0.0.1";

let next = firstPort + (process.pid % blockCount) * blockLength;
let left = lastPort - firstPort + 1;

/**
 * A TCP port that nothing listens on at 127.0.0.1. None is given out twice by one process, nor by two that run at the same time; throws
 * when none is left.
 */
export async function freePort(): Promise<number> {
  while (left > 0) {
    const port = next;
    next = port === lastPort ? firstPort : port + 1;
    left -= 1;
    const giveBack = await reserve(port);
    if (giveBack === undefined) continue;
    if (await isFree(port)) return port;
    giveBack();
  }
  throw new Error(`no free port from ${firstPort} to ${lastPort}`);
}

/**
 * Keeps other test processes off this port before anybody listens on it, and while a server there starts anew: UDP's port of that number is
 * this process's until it ends. Undefined if another has it.
 */
function reserve(port: number): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const mark = createSocket("udp4").unref();
    mark.once("error", (error: NodeJS.ErrnoException) => {
      mark.close();
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    mark.bind({ port, address: host, exclusive: true }, () => resolve(() => mark.close()));
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    });
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

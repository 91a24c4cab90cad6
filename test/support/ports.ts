import { createServer } from "node:net";

// Above what the reference takes for reserved, and below the range from which Linux hands out ports by itself, so that
// nobody takes one between its choice and its use.
const firstPort = 20_000;
const lastPort = 31_999;
// Processes with neighbouring pids begin in different blocks.
const blockLength = 100;
const blockCount = (lastPort - firstPort + 1) / blockLength;

let next = firstPort + (process.pid % blockCount) * blockLength;
let left = lastPort - firstPort + 1;

/** A TCP port that nothing listens on at 127.0.0.1. No port is given out twice by one process; throws when none is left. */
export async function freePort(): Promise<number> {
  while (left > 0) {
    const port = next;
    next = port === lastPort ? firstPort : port + 1;
    left -= 1;
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${firstPort} to ${lastPort}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    });
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

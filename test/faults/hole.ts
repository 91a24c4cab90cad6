import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { ManagedProcess } from "../support/managed-process.ts";
import { repositoryRoot } from "../support/repository-root.ts";

/** An address whose connections are neither taken nor refused: its process stands still, and its queue is full. */
export class BlackHole {
  readonly port: number;
  readonly #process: ManagedProcess;
  readonly #queued: readonly Socket[];

  private constructor(port: number, child: ManagedProcess, queued: readonly Socket[]) {
    this.port = port;
    this.#process = child;
    this.#queued = queued;
  }

  static async open(): Promise<BlackHole> {
    const main = join(repositoryRoot, "dist", "test", "faults", "listener-main.js");
    const child = new ManagedProcess("black hole", { file: process.execPath, args: [main] });
    const [line] = await once(child.stdout, "data", { signal: child.gone });
    child.kill("SIGSTOP");
    const port = Number(line);
    const queued: Socket[] = [];
    while (queued.length < 2) {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      await once(socket, "connect");
      queued.push(socket);
    }
    return new BlackHole(port, child, queued);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Connections that somebody is trying to get. */
  knockCount(): number {
    const port = this.port.toString(16).toUpperCase().padStart(4, "0");
    // The third field of proc(5) net/tcp is the other side's address, the fourth the state: 02 is SYN_SENT.
    return readFileSync("/proc/net/tcp", "utf8").split(`:${port} 02 `).length - 1;
  }

  async close(): Promise<void> {
    for (const socket of this.#queued) socket.destroy();
    await this.#process.stop();
  }
}

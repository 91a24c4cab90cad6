import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { backlogMaxBytes, ElasticSocket } from "../../../../shared/grpc/elastic-socket.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

/** A socket whose kernel takes bytes only when the test says so. */
class StuckSocket extends Duplex {
  readonly taken: Buffer[] = [];
  #accept: (() => void) | undefined;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.taken.push(chunk);
    this.#accept = done;
  }

  /** Takes what is being written; resolves when the next write, if any, has come. */
  async accept(): Promise<void> {
    const accept = this.#accept;
    this.#accept = undefined;
    accept?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function make(): { socket: StuckSocket; elastic: ElasticSocket } {
  const socket = new StuckSocket();
  return { socket, elastic: new ElasticSocket({ clock: new FakeClock() }, socket as unknown as Socket) };
}

const chunk = Buffer.alloc(64 * 1024);

test("takes every write at once, and opens its gate when the socket has got rid of enough", async () => {
  const { socket, elastic } = make();
  for (let count = 1; count <= 5; count++) {
    await new Promise((resolve) => elastic.write(chunk, resolve));
    expect(elastic.gate.fullFor(chunk.length)).toBe(count >= 4);
  }
  let opened = false;
  elastic.gate.wait({ gateOpened: () => (opened = true) });
  for (let count = 1; count <= 3; count++) {
    expect(opened).toBe(false);
    await socket.accept();
  }
  expect(opened).toBe(true);
  elastic.destroy();
});

test("gives up a peer that takes nothing while more and more is written", async () => {
  const { socket, elastic } = make();
  const failed = new Promise((resolve) => elastic.once("error", resolve));
  for (let bytes = 0; bytes < 0.9 * backlogMaxBytes; bytes += chunk.length) elastic.write(chunk);
  expect(elastic.destroyed).toBe(false);
  for (let count = 0; count < 50_000; count++) elastic.write("an answer");
  expect(await failed).toHaveProperty("message", expect.stringContaining("the peer does not read"));
  expect(socket.destroyed).toBe(true);
});

test("passes on what comes in, the end, and errors", async () => {
  const { socket, elastic } = make();
  const seen: string[] = [];
  elastic.on("data", (bytes: Buffer) => seen.push(bytes.toString()));
  const ended = new Promise((resolve) => elastic.once("end", resolve));
  socket.push("hello");
  socket.push(null);
  await ended;
  expect(seen).toEqual(["hello"]);

  const other = make();
  const failed = new Promise((resolve) => other.elastic.once("error", resolve));
  other.socket.destroy(new Error("cut"));
  expect(await failed).toHaveProperty("message", "cut");
  expect(other.elastic.destroyed).toBe(true);
});

test("an end waits for what was written before it", async () => {
  const { socket, elastic } = make();
  elastic.write("last");
  elastic.end();
  const finished = new Promise((resolve) => socket.once("finish", resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(socket.writableFinished).toBe(false);
  await socket.accept();
  await finished;
  expect(socket.taken.map(String)).toEqual(["last"]);
  socket.destroy();
});

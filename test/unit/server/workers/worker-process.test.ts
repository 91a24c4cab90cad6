import cluster, { type Worker } from "node:cluster";
import { EventEmitter } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeEach, expect, it } from "vitest";
import { parseServerOptions } from "../../../../server/options.ts";
import type { Answers, FromWorker, ToWorker } from "../../../../server/workers/messages.ts";
import { WorkerProcess } from "../../../../server/workers/worker-process.ts";
import { UsageError } from "../../../../shared/errors.ts";
import { turn } from "../../../support/turn.ts";

const file = import.meta.filename;
const command = parseServerOptions(
  [`--cluster-cert=${file}`, `--cluster-key=${file}`, `--cluster-ca-cert=${file}`, "--uds-name=/x", "--server-port=0"],
  {},
);
if (command.kind !== "run") throw new Error(command.kind);
const { options } = command;

/** As much of node:cluster's as is used. */
class FakeClusterWorker extends EventEmitter {
  readonly sent: ToWorker[] = [];
  connected = true;

  isConnected(): boolean {
    return this.connected;
  }

  send(message: ToWorker): void {
    this.sent.push(message);
  }

  says(message: FromWorker): void {
    this.emit("message", message);
  }

  exits(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    this.connected = false;
    this.emit("exit", code, signal);
    return turn();
  }
}

let fake: FakeClusterWorker;
let worker: WorkerProcess;
beforeEach(() => {
  fake = new FakeClusterWorker();
  worker = new WorkerProcess(fake as unknown as Worker, { worker: 1, options });
});

const never = new AbortController().signal;
const kinds = () => fake.sent.map(({ kind }) => kind);

it("what is said before the worker listens waits until then, behind its orders", () => {
  worker.send({ kind: "stop" });
  expect(kinds()).toEqual([]);
  fake.says({ kind: "awake" });
  expect(kinds()).toEqual(["start", "stop"]);
});

it("one that cannot start says why; one that dies before it serves, how", async () => {
  fake.says({ kind: "failed", reason: "no such file" });
  await expect(worker.started).rejects.toThrow(new UsageError("no such file"));
  const other = new WorkerProcess(fake as unknown as Worker, { worker: 2, options });
  await fake.exits(null, "SIGSEGV");
  await expect(other.started).rejects.toThrow("SIGSEGV");
});

it("questions get their own answers, in whatever order these come", async () => {
  fake.says({ kind: "awake" });
  const ready = worker.ask({ what: "ready" }, { signal: never });
  const metrics = worker.ask({ what: "metrics" }, { signal: never });
  const ids = fake.sent.flatMap((message) => (message.kind === "ask" ? [message.id] : []));
  expect(new Set(ids).size).toBe(2);
  fake.says({ kind: "answer", id: ids[1] ?? 0, answer: [] });
  fake.says({ kind: "answer", id: ids[0] ?? 0, answer: false });
  expect([await ready, await metrics]).toEqual([false, []]);
});

it("nobody waits for an answer beyond the signal, which the worker is told, nor beyond the worker's death", async () => {
  fake.says({ kind: "awake" });
  const late = new AbortController();
  const given = worker.ask({ what: "ready" }, { signal: late.signal });
  late.abort();
  expect(await given).toBeUndefined();
  expect(kinds()).toEqual(["start", "ask", "forget"]);
  const asked = worker.ask({ what: "ready" }, { signal: never });
  await fake.exits(1, null);
  expect(await asked).toBeUndefined();
  expect(await worker.ask({ what: "ready" }, { signal: never })).toBeUndefined();
});

it("keeps no answer that was given", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  fake.says({ kind: "awake" });
  const answered = async (): Promise<WeakRef<Answers["metrics"]>> => {
    const given = worker.ask({ what: "metrics" }, { signal: never });
    const asked = fake.sent.at(-1);
    const answer: Answers["metrics"] = [];
    fake.says({ kind: "answer", id: asked?.kind === "ask" ? asked.id : 0, answer });
    await given;
    return new WeakRef(answer);
  };
  const answer = await answered();
  await turn();
  collectGarbage();
  expect(answer.deref()).toBeUndefined();
});

it("one that cannot be forked has ended, and says why", async () => {
  cluster.setupPrimary({ cwd: `${import.meta.dirname}/no folder` });
  const unborn = new WorkerProcess(cluster.fork(), { worker: 1, options });
  expect(await unborn.exited).toEqual({ code: null, signal: null });
  await expect(unborn.started).rejects.toThrow(/spawn .*ENO/);
});

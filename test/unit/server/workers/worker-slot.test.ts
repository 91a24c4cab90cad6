import { beforeEach, expect, it } from "vitest";
import type { ToWorker } from "../../../../server/workers/messages.ts";
import type { WorkerExit } from "../../../../server/workers/worker-process.ts";
import { type ForkedWorker, WorkerSlot } from "../../../../server/workers/worker-slot.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { LogLines } from "../../../support/log-lines.ts";
import { turn } from "../../../support/turn.ts";

class FakeWorker implements ForkedWorker {
  readonly pid = 1;
  readonly sent: ToWorker["kind"][] = [];
  readonly started: Promise<void>;
  readonly exited: Promise<WorkerExit>;
  #start: (failure?: Error) => void = () => {};
  #exit: (exit: WorkerExit) => void = () => {};

  constructor() {
    this.started = new Promise((resolve, reject) => {
      this.#start = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    this.started.catch(() => {});
    this.exited = new Promise((resolve) => {
      this.#exit = resolve;
    });
  }

  serve(): Promise<void> {
    this.#start();
    return turn();
  }

  die(exit: WorkerExit = { code: null, signal: "SIGKILL" }): Promise<void> {
    this.#start(new Error("it died before"));
    this.#exit(exit);
    return turn();
  }

  send({ kind }: ToWorker): void {
    this.sent.push(kind);
  }

  kill(): void {
    void this.die();
  }

  async ask(): Promise<undefined> {}
}

let clock: FakeClock;
let lines: LogLines;
let forked: FakeWorker[];
let deaths: number;
let hopeless: string[];
let slot: WorkerSlot;
beforeEach(() => {
  clock = new FakeClock();
  lines = new LogLines();
  forked = [];
  deaths = 0;
  hopeless = [];
  const fork = () => {
    forked.push(new FakeWorker());
    return newest();
  };
  const onDeath = () => {
    deaths += 1;
  };
  slot = new WorkerSlot(
    { clock, log: lines.log, fork, onDeath, onHopeless: (reason) => hopeless.push(reason) },
    { number: 3 },
  );
});

function newest(): FakeWorker {
  const worker = forked.at(-1);
  if (worker === undefined) throw new Error("nothing was forked");
  return worker;
}

async function after(ms: number): Promise<void> {
  clock.advance(ms);
  await turn();
}

async function start(): Promise<void> {
  const started = slot.start();
  await newest().serve();
  await started;
}

it("a worker serves from its word on until it dies, and another one takes its place", async () => {
  const started = slot.start();
  expect(slot.serving).toBeUndefined();
  await newest().serve();
  await started;
  expect(slot.serving).toBe(forked[0]);

  await newest().die();
  expect([slot.serving, deaths, lines.of("error")]).toEqual([undefined, 1, ["worker died; its connections are gone"]]);
  await after(249);
  expect(forked).toHaveLength(1);
  await after(1);
  expect(forked).toHaveLength(2);
  await newest().serve();
  expect(slot.serving).toBe(forked[1]);
});

it("a first worker that cannot start is told of", async () => {
  const refused = expect(slot.start()).rejects.toThrow("it died before");
  await newest().die();
  await refused;
});

it("a worker that dies five times in a row soon after its start is given up, after longer and longer waits", async () => {
  await start();
  for (const waitMs of [250, 500, 1_000, 2_000]) {
    await newest().die();
    const count = forked.length;
    await after(waitMs - 1);
    expect(forked).toHaveLength(count);
    await after(1);
    expect(forked).toHaveLength(count + 1);
  }
  expect(hopeless).toEqual([]);
  await newest().die({ code: 7, signal: null });
  await after(60_000);
  expect(forked).toHaveLength(5);
  expect(hopeless).toEqual(["worker 3 died 5 times in a row within 10 s of its start, at last by code 7"]);
});

it("one that takes long to start and dies before it serves has not lived", async () => {
  await start();
  for (let death = 0; death < 5; death++) {
    await newest().die();
    await after(20_000);
  }
  expect(hopeless).toHaveLength(1);
});

it("one that does not begin to serve within 60 s is killed, and another follows", async () => {
  await start();
  await after(60_000);
  expect(slot.serving).toBe(forked[0]);
  await newest().die();
  await after(250);
  await after(59_999);
  expect([forked.length, deaths]).toEqual([2, 1]);
  await after(1);
  await after(500);
  expect([forked.length, deaths]).toEqual([3, 2]);
  expect(lines.of("error")).toContain("worker has not started within 60 s and is killed");
});

it("one that has served for ten seconds begins a new row of deaths", async () => {
  await start();
  for (let death = 0; death < 12; death++) {
    await after(10_000);
    await newest().die();
    await after(250);
    await newest().serve();
  }
  expect(forked).toHaveLength(13);
  expect(hopeless).toEqual([]);
});

it("a stop asks the worker to end, waits for that, and forks no other", async () => {
  await start();
  let stopped = false;
  void slot.stop().then(() => {
    stopped = true;
  });
  await turn();
  expect([newest().sent, stopped]).toEqual([["stop"], false]);
  await newest().die({ code: 0, signal: null });
  await after(60_000);
  expect([stopped, forked.length, deaths, lines.of("error")]).toEqual([true, 1, 0, []]);
});

it("a worker that dies while it is stopping is told of, and counts as no death", async () => {
  await start();
  const stopped = slot.stop();
  await newest().die();
  await stopped;
  expect([deaths, lines.of("warn")]).toEqual([0, ["worker died while it was stopping"]]);
});

it("a stop while nothing runs in its place ends at once", async () => {
  await start();
  await newest().die();
  await slot.stop();
  await after(60_000);
  expect(forked).toHaveLength(1);
});

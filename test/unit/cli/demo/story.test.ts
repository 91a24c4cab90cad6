import { once } from "node:events";
import { expect, test } from "vitest";
import { Screen } from "../../../../cli/demo/screen.ts";
import { expectEqual, expectEqualDigests, Mismatch, Story, StoryEnded } from "../../../../cli/demo/story.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

const step = { label: "by gRPC", expected: "an answer" };

function tellIt() {
  const clock = new FakeClock();
  const written: string[] = [];
  const screen = new Screen({ write: (text: string) => written.push(text) }, {}, () => clock.now());
  const interrupt = new AbortController();
  const story = new Story({ screen, clock, signal: interrupt.signal });
  return { story, clock, interrupt, shown: () => written.join("") };
}

test("a step that came out right shows its result and how long it took", async () => {
  const { story, clock, shown } = tellIt();
  await story.tell(step, async () => {
    clock.advance(12);
    return { result: "200" };
  });
  expect(shown()).toMatch(/^ {2}ok {4}by gRPC +200 +12 ms\n$/);
  expect(clock.pending).toBe(0);
});

test("a digest that differs is a failure that shows both", async () => {
  const { story, shown } = tellIt();
  const told = story.tell(step, async () => {
    expectEqualDigests("aa11", "bb22");
    return { result: "unreachable" };
  });
  await expect(told).rejects.toThrow(StoryEnded);
  expect(shown()).toMatch(/FAIL {2}by gRPC\n +expected {2}an answer\n +came .*aa11.*bb22\n$/);
});

test("a digest that never came differs too", () => {
  expect(() => expectEqualDigests("aa11", undefined)).toThrow(Mismatch);
  expect(() => expectEqualDigests("aa11", "aa11")).not.toThrow();
});

test("another value than expected is named", () => {
  expect(() => expectEqual("status", 503, 200)).toThrow("status 503 instead of 200");
  expect(() => expectEqual("status", 200, 200)).not.toThrow();
});

test("a system error is shown with its code", async () => {
  const { story, shown } = tellIt();
  const told = story.tell(step, () => Promise.reject(Object.assign(new Error("aborted"), { code: "ECONNRESET" })));
  await expect(told).rejects.toThrow(StoryEnded);
  expect(shown()).toContain("came      aborted (ECONNRESET)\n");
});

test("a step that does not end has failed when its time is up", async () => {
  const { story, clock, shown } = tellIt();
  const told = story.tell({ ...step, withinMs: 5_000 }, async (signal) => {
    await once(signal, "abort");
    throw new Error("how it happened to end");
  });
  clock.advance(5_000);
  await expect(told).rejects.toThrow(StoryEnded);
  expect(shown()).toContain("came      nothing within 5.0 s\n");
});

test("an interrupt is no failure: its reason is thrown, and nothing is shown", async () => {
  const { story, interrupt, shown } = tellIt();
  const told = story.tell(step, async (signal) => {
    await once(signal, "abort");
    throw new Error("how it happened to end");
  });
  const reason = new Error("ended by SIGINT");
  interrupt.abort(reason);
  await expect(told).rejects.toBe(reason);
  expect(shown()).toBe("");
});

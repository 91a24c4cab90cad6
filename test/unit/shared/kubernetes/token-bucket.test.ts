import { expect, it } from "vitest";
import { TokenBucket } from "../../../../shared/kubernetes/token-bucket.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { turn } from "../../../support/turn.ts";

const never = new AbortController().signal;

function bucketOf(rate: { readonly perSecond: number; readonly burst: number }) {
  const clock = new FakeClock();
  const bucket = new TokenBucket({ clock }, rate);
  const gone: number[] = [];
  let asked = 0;
  /** Notes the order in which calls may go. */
  const take = (options: { maxWaitMs?: number; signal?: AbortSignal } = {}) => {
    const number = asked++;
    return bucket.take({ maxWaitMs: 60_000, signal: never, ...options }).then(() => gone.push(number));
  };
  return { clock, take, gone };
}

it("lets a burst go at once, and then as many a second as it should, in order", async () => {
  const { clock, take, gone } = bucketOf({ perSecond: 4, burst: 3 });
  for (let call = 0; call < 6; call++) void take();
  await turn();
  expect(gone).toEqual([0, 1, 2]);
  clock.advance(249);
  await turn();
  expect(gone).toHaveLength(3);
  clock.advance(1);
  await turn();
  expect(gone).toEqual([0, 1, 2, 3]);
  clock.advance(500);
  await turn();
  expect(gone).toEqual([0, 1, 2, 3, 4, 5]);
});

it("fills up to the burst, and no further", async () => {
  const { clock, take, gone } = bucketOf({ perSecond: 10, burst: 2 });
  await Promise.all([take(), take()]);
  clock.advance(3_600_000);
  for (let call = 0; call < 3; call++) void take();
  await turn();
  expect(gone).toHaveLength(4);
  expect(clock.pending).toBe(1);
});

it("refuses at once a call that would wait too long, and takes nothing for it", async () => {
  const { clock, take, gone } = bucketOf({ perSecond: 1, burst: 1 });
  await take();
  await expect(take({ maxWaitMs: 999 })).rejects.toMatchObject({ name: "KubernetesError", status: 0 });
  const last = take({ maxWaitMs: 1_000 });
  clock.advance(1_000);
  await last;
  expect(gone).toEqual([0, 2]);
});

it("gives back what a call that left did not use", async () => {
  const { clock, take } = bucketOf({ perSecond: 1, burst: 1 });
  await take();
  const reason = new Error("left");
  const leave = new AbortController();
  const left = take({ signal: leave.signal });
  leave.abort(reason);
  await expect(left).rejects.toBe(reason);
  await expect(take({ signal: leave.signal })).rejects.toBe(reason);
  expect(clock.pending).toBe(0);
  const next = take({ maxWaitMs: 1_000 });
  clock.advance(1_000);
  await next;
});

it("without a limit, holds nobody up", async () => {
  const { clock, take, gone } = bucketOf({ perSecond: -1, burst: 1 });
  await Promise.all(Array.from({ length: 1_000 }, () => take({ maxWaitMs: 0 })));
  expect(gone).toHaveLength(1_000);
  expect(clock.pending).toBe(0);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { SendArena, SendQueue } from "../../../../shared/grpc/send-queue.ts";

const hexOfMessage = (pieces: readonly Uint8Array[]): string => {
  const body = Buffer.concat(pieces);
  return `00${body.length.toString(16).padStart(8, "0")}${body.toString("hex")}`;
};

test("queues that share an arena keep their own bytes in order", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.integer({ min: 900, max: 5_000 }).map((length) => new Uint8Array(length).fill(length)),
  );
  const step = fc.record({ queue: fc.integer({ min: 0, max: 2 }), pieces: fc.array(piece, { maxLength: 4 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 10 }), (steps, takeEvery) => {
      const arena = new SendArena();
      const queues = [0, 1, 2].map(() => ({ queue: new SendQueue(arena), expected: "", taken: [] as Buffer[] }));
      steps.forEach(({ queue: index, pieces }, at) => {
        const one = queues[index];
        one?.queue.add(pieces);
        if (one !== undefined) one.expected += hexOfMessage(pieces);
        if (at % takeEvery === 0) one?.taken.push(...one.queue.take());
      });
      for (const { queue, expected, taken } of queues) {
        const waiting = queue.bytes;
        const rest = queue.take();
        expect(Buffer.concat(rest).length).toBe(waiting);
        expect(queue.bytes).toBe(0);
        expect(Buffer.concat([...taken, ...rest]).toString("hex")).toBe(expected);
      }
    }),
    { numRuns: 500 },
  );
});

test("small messages are joined into one piece, large ones are passed on uncopied", () => {
  const queue = new SendQueue(new SendArena());
  const large = Buffer.alloc(2_000, 1);
  for (let index = 0; index < 10; index++) queue.add([Buffer.from("head"), Buffer.from("body")]);
  expect(queue.take().length).toBe(1);
  queue.add([Buffer.from("head"), large]);
  queue.add([Buffer.from("next")]);
  const chunks = queue.take();
  expect(chunks.length).toBe(3);
  expect(chunks[1]).toBe(large);
});

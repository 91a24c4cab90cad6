import { Duplex, getDefaultHighWaterMark } from "node:stream";
import { expect, test } from "vitest";
import { prepareRuntime } from "../../../shared/runtime.ts";

test("streams that are made afterwards take 64 KiB ahead, on any Node", () => {
  prepareRuntime();
  expect(getDefaultHighWaterMark(false)).toBe(64 * 1024);
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  expect([stream.readableHighWaterMark, stream.writableHighWaterMark]).toEqual([64 * 1024, 64 * 1024]);
});

import { expect, it } from "vitest";
import { ResponseServerCounter } from "../../../../agent/links/server-count.ts";

it("is 1 until a server said more, and again when one says none", () => {
  const counter = new ResponseServerCounter();
  expect(counter.count).toBe(1);
  counter.heard(5);
  expect(counter.count).toBe(5);
  counter.heard(0);
  expect(counter.count).toBe(1);
});

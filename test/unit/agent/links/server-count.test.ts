import { describe, expect, it } from "vitest";
import {
  AggregateServerCounter,
  type LeaseCount,
  ResponseServerCounter,
} from "../../../../agent/links/server-count.ts";

describe("the count that servers tell", () => {
  it("is 1 until a server said more, and again when one says none", () => {
    const counter = new ResponseServerCounter();
    expect(counter.count).toBe(1);
    counter.heard(5);
    expect(counter.count).toBe(5);
    counter.heard(0);
    expect(counter.count).toBe(1);
  });
});

describe("the aggregate", () => {
  const leaseCount = (count: number): LeaseCount => ({ count, onGrown: () => {} });

  it.each([
    { leases: undefined, source: "default", said: 4, count: 4 },
    { leases: undefined, source: "max", said: 4, count: 4 },
    { leases: 3, source: "default", said: 4, count: 3 },
    { leases: 0, source: "default", said: 4, count: 1 },
    { leases: 3, source: "max", said: 4, count: 4 },
    { leases: 5, source: "max", said: 4, count: 5 },
    { leases: 0, source: "max", said: 0, count: 1 },
  ] as const)(
    "of $leases leases and the word of $said is $count with source $source",
    ({ leases, source, said, count }) => {
      const counter = new AggregateServerCounter(
        { leases: leases === undefined ? undefined : leaseCount(leases) },
        { source },
      );
      counter.heard(said);
      expect(counter.count).toBe(count);
    },
  );
});

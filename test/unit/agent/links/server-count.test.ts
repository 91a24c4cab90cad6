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
    counter.heard({ id: "a", count: 5 });
    expect(counter.count).toBe(5);
    counter.heard({ id: "a", count: 0 });
    expect(counter.count).toBe(1);
  });

  it("is the largest that a linked server said last", () => {
    const counter = new ResponseServerCounter();
    counter.heard({ id: "a", count: 3 });
    counter.heard({ id: "b", count: 1 });
    expect(counter.count).toBe(3);
    counter.left({ id: "a" });
    expect(counter.count).toBe(1);
  });

  it("is the last one heard while no server is linked", () => {
    const counter = new ResponseServerCounter();
    counter.heard({ id: "a", count: 3 });
    counter.heard({ id: "b", count: 2 });
    for (const id of ["a", "b"]) counter.left({ id });
    expect(counter.count).toBe(2);
  });
});

describe("the aggregate", () => {
  const leaseCount = (count: number): LeaseCount => ({ count, servers: new Set(), onGrown: () => {} });

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
      counter.heard({ id: "a", count: said });
      expect(counter.count).toBe(count);
    },
  );
});

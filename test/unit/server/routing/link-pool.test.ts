import { describe, expect, it } from "vitest";
import { LinkPool } from "../../../../server/routing/link-pool.ts";
import { FakeAgentLink } from "../../../support/fake-agent-link.ts";

const everybody = () => true;

/** Numbers that run evenly through [0, 1). */
function evenly(steps: number): () => number {
  let step = 0;
  return () => (step++ % steps) / steps;
}

describe("links by identifier", () => {
  it("keeps several under one in order of arrival, and each once", () => {
    const pool = new LinkPool({ random: () => 0 });
    const [first, second] = [new FakeAgentLink("a"), new FakeAgentLink("a")];
    for (const link of [first, second, first]) pool.add("a", link);
    expect(pool.identifierCount).toBe(1);
    expect(pool.under("a", everybody)).toBe(first);
    pool.remove("a", first);
    pool.remove("a", first);
    expect(pool.under("a", everybody)).toBe(second);
    pool.remove("a", second);
    expect(pool.identifierCount).toBe(0);
    expect(pool.under("a", everybody)).toBeUndefined();
  });

  it("removes any identifier and still finds the others", () => {
    const names = ["a", "b", "c", "d"];
    for (const gone of names) {
      const pool = new LinkPool({ random: evenly(3) });
      const links = new Map(names.map((name) => [name, new FakeAgentLink(name)]));
      for (const [name, link] of links) pool.add(name, link);
      pool.remove(gone, links.get(gone) as FakeAgentLink);
      pool.remove("unknown", new FakeAgentLink("x"));
      const found = new Set([0, 1, 2].map(() => pool.any(everybody)?.agent.id));
      expect(found).toEqual(new Set(names.filter((name) => name !== gone)));
    }
  });

  it("prefers what does not drain, and takes what drains rather than nothing", () => {
    const pool = new LinkPool({ random: () => 0 });
    const [first, second] = [new FakeAgentLink("a"), new FakeAgentLink("b")];
    pool.add("host", first);
    pool.add("host", second);
    first.state = "draining";
    expect(pool.under("host", everybody)).toBe(second);
    second.state = "draining";
    expect(pool.under("host", everybody)).toBe(first);
  });
});

describe("a link under any identifier", () => {
  it("is none when there is none", () => {
    expect(new LinkPool({ random: () => 0.99 }).any(everybody)).toBeUndefined();
  });

  it("gives each the same chance", () => {
    const pool = new LinkPool({ random: evenly(90) });
    const counts = new Map<string, number>();
    for (const name of ["a", "b", "c"]) pool.add(name, new FakeAgentLink(name));
    for (let dials = 0; dials < 90; dials += 1) {
      const id = pool.any(everybody)?.agent.id ?? "";
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    expect([...counts.values()]).toEqual([30, 30, 30]);
  });

  it("gives those that do not drain the same chance, wherever the drained ones stand", () => {
    const pool = new LinkPool({ random: Math.random });
    const links = ["a", "b", "c", "d"].map((name) => new FakeAgentLink(name));
    for (const link of links) pool.add(link.agent.id, link);
    for (const link of links.slice(0, 2)) link.state = "draining";
    const counts = new Map([
      ["c", 0],
      ["d", 0],
    ]);
    for (let dials = 0; dials < 2_000; dials += 1) {
      const id = pool.any(everybody)?.agent.id ?? "";
      counts.set(id, (counts.get(id) ?? Number.NaN) + 1);
    }
    // 1,000 each; beyond 1,250 a fair choice goes in fewer than one of 10^28 runs.
    expect(Math.max(...counts.values())).toBeLessThan(1_250);
  });

  it("drains as the reference does: never chosen beside others, chosen when all drain", () => {
    const pool = new LinkPool({ random: Math.random });
    const links = ["1", "2", "3"].map((name) => new FakeAgentLink(name));
    for (const link of links) pool.add(link.agent.id, link);
    const [first] = links;
    if (first !== undefined) first.state = "draining";
    for (let tries = 0; tries < 20; tries += 1) expect(pool.any(everybody)).not.toBe(first);
    for (const link of links) link.state = "draining";
    expect(links).toContain(pool.any(everybody));
  });

  it("passes over whom it may not choose", () => {
    const pool = new LinkPool({ random: () => 0 });
    const [first, second] = [new FakeAgentLink("a"), new FakeAgentLink("b")];
    pool.add("a", first);
    pool.add("b", second);
    expect(pool.any((link) => link !== first)).toBe(second);
    expect(pool.any(() => false)).toBeUndefined();
  });
});

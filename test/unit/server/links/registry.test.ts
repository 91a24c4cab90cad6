import { describe, expect, it } from "vitest";
import { Registry } from "../../../../server/links/registry.ts";
import type { StrategyName } from "../../../../server/routing/strategies.ts";
import { FakeAgentLink } from "../../../support/fake-agent-link.ts";

const none: ReadonlySet<never> = new Set<never>();

function registered(strategies: readonly StrategyName[], ...links: readonly FakeAgentLink[]) {
  const changes: { readonly ready: Readonly<Record<string, number>>; readonly agents: number }[] = [];
  const registry = new Registry(
    {
      random: () => 0,
      observer: { changed: (ready, agents) => changes.push({ ready: Object.fromEntries(ready), agents }) },
    },
    { strategies },
  );
  for (const link of links) registry.add(link);
  return { registry, changes, choose: (address: string) => registry.choose(address, none)?.agent.id };
}

/** The managers' rows of the reference's tests (its pkg/server), by their names. */
describe("TestAddRemoveBackends", () => {
  it("_DefaultStrategy: any agent, none after removal", () => {
    const links = ["1", "2", "3"].map((id) => new FakeAgentLink(id));
    const { registry, choose } = registered(["default"], ...links);
    expect(choose("whatever:80")).toBeDefined();
    for (const link of links) registry.remove(link);
    expect(choose("whatever:80")).toBeUndefined();
  });

  it("_DefaultRouteStrategy: only who has the default route", () => {
    const route = new FakeAgentLink("3", "default-route=true");
    const { registry, choose } = registered(
      ["defaultRoute"],
      new FakeAgentLink("1"),
      new FakeAgentLink("2", "default-route=false"),
      route,
    );
    expect(choose("10.0.0.1:80")).toBe("3");
    registry.remove(route);
    expect(choose("10.0.0.1:80")).toBeUndefined();
  });

  it("_DestHostStrategy: exact matches of each kind; another host, and a default route, match nothing", () => {
    const { choose } = registered(
      ["destHost"],
      new FakeAgentLink("1", "host=localhost&host=node1.mydomain.com&ipv4=1.2.3.4&ipv6=9878::7675:1292:9183:7562"),
      new FakeAgentLink("2", "host=node2.mydomain.com&ipv4=5.6.7.8&ipv6=::"),
      new FakeAgentLink("3", "default-route=true"),
    );
    expect(choose("localhost")).toBe("1");
    expect(choose("node1.mydomain.com")).toBe("1");
    expect(choose("1.2.3.4")).toBe("1");
    expect(choose("9878::7675:1292:9183:7562")).toBe("1");
    expect(choose("5.6.7.8")).toBe("2");
    expect(choose("::")).toBe("2");
    expect(choose("node3.mydomain.com")).toBeUndefined();
  });

  it("_DestHostSanitizeRequest: the port does not count", () => {
    const { choose } = registered(["destHost"], new FakeAgentLink("1", "host=localhost&ipv6=::1"));
    expect(choose("localhost:443")).toBe("1");
    expect(choose("[::1]:443")).toBe("1");
    expect(choose("[0:0::1]:443")).toBe("1");
    expect(choose("LOCALHOST:443")).toBe("1");
  });

  it("_DestHostWithDefault: the match first, else anybody", () => {
    const { choose } = registered(
      ["destHost", "default"],
      new FakeAgentLink("1"),
      new FakeAgentLink("2", "host=node2.mydomain.com"),
    );
    expect(choose("node2.mydomain.com:443")).toBe("2");
    expect(choose("elsewhere:443")).toBe("1");
  });

  it("_DestHostWithDuplicateIdents: who is left serves what is shared", () => {
    const shared = "host=localhost&ipv4=1.2.3.4";
    const links = [
      new FakeAgentLink("1", shared),
      new FakeAgentLink("2", `${shared}&ipv4=5.6.7.8`),
      new FakeAgentLink("3", `${shared}&ipv6=::1`),
    ] as const;
    const { registry, choose } = registered(["destHost", "default"], ...links);
    expect(choose("localhost:80")).toBe("1");
    registry.remove(links[0]);
    expect(choose("1.2.3.4:80")).toBe("2");
    registry.remove(links[1]);
    for (const address of ["localhost:80", "1.2.3.4:80", "[::1]:80", "anything:80"]) expect(choose(address)).toBe("3");
  });
});

describe("TestDestHostBackendManager_Backend_DrainingFallback", () => {
  it("prefers who does not drain; when all of a host drain, one of that host", () => {
    const [one, two, other] = [
      new FakeAgentLink("1", "host=a"),
      new FakeAgentLink("2", "host=a"),
      new FakeAgentLink("3", "host=b"),
    ] as const;
    const { choose } = registered(["destHost", "default"], one, two, other);
    one.state = "draining";
    expect(choose("a:1")).toBe("2");
    two.state = "draining";
    expect(choose("a:1")).toBe("1");
    expect(choose("b:1")).toBe("3");
  });
});

it("takes another agent, and another link of the same one, when some were tried or are closed", () => {
  const [first, again, other] = [new FakeAgentLink("a"), new FakeAgentLink("a"), new FakeAgentLink("b")] as const;
  const { registry } = registered(["default"], first, again, other);
  expect(registry.choose("x:1", none)).toBe(first);
  expect(registry.choose("x:1", new Set([first]))).toBe(again);
  first.state = "closed";
  again.state = "closed";
  expect(registry.choose("x:1", none)).toBe(other);
  expect(registry.choose("x:1", new Set([other]))).toBeUndefined();
});

it("takes a draining agent of an earlier strategy before any of a later one", () => {
  const [matching, other] = [new FakeAgentLink("1", "host=a"), new FakeAgentLink("2")] as const;
  const { choose } = registered(["destHost", "default"], matching, other);
  matching.state = "draining";
  expect(choose("a:1")).toBe("1");
});

describe("readiness and what the observer hears", () => {
  it("follows the first strategy, whose drained agents count", () => {
    const link = new FakeAgentLink("1");
    const { registry } = registered(["destHost", "default"], link);
    expect(registry.ready).toBe(false);
    const hosted = new FakeAgentLink("2", "host=a");
    registry.add(hosted);
    hosted.state = "draining";
    expect(registry.ready).toBe(true);
    registry.remove(hosted);
    expect(registry.ready).toBe(false);
  });

  /** Each agent alone; the first strategy decides, whatever the later ones could choose. */
  it.each<[StrategyName[], { readonly plain: boolean; readonly hosted: boolean; readonly route: boolean }]>([
    [["default"], { plain: true, hosted: true, route: true }],
    [["destHost"], { plain: false, hosted: true, route: false }],
    [["defaultRoute"], { plain: false, hosted: false, route: true }],
    [["destHost", "default"], { plain: false, hosted: true, route: false }],
    [["defaultRoute", "destHost", "default"], { plain: false, hosted: false, route: true }],
    [["default", "destHost"], { plain: true, hosted: true, route: true }],
  ])("with %j is there with the first agent of the first strategy, and goes with it", (strategies, expected) => {
    const agents = { plain: "cidr=10.0.0.0/8", hosted: "ipv6=::1", route: "default-route=true" };
    const readyWith = (identifiers: string) => {
      const link = new FakeAgentLink("1", identifiers);
      const { registry } = registered(strategies);
      expect(registry.ready).toBe(false);
      registry.add(link);
      const { ready } = registry;
      registry.remove(link);
      expect(registry.ready).toBe(false);
      return ready;
    };
    const { plain, hosted, route } = agents;
    expect({ plain: readyWith(plain), hosted: readyWith(hosted), route: readyWith(route) }).toEqual(expected);
  });

  it("counts identifiers per strategy and distinct agents, from the start on", () => {
    const { registry, changes } = registered(["default", "destHost", "default"]);
    const hosted = new FakeAgentLink("1", "host=a&host=A&ipv4=1.2.3.4");
    const again = new FakeAgentLink("1");
    registry.add(hosted);
    registry.add(again);
    registry.remove(hosted);
    registry.remove(hosted);
    registry.remove(again);
    expect(changes).toEqual([
      { ready: { default: 0, destHost: 0 }, agents: 0 },
      { ready: { default: 1, destHost: 2 }, agents: 1 },
      { ready: { default: 1, destHost: 2 }, agents: 1 },
      { ready: { default: 1, destHost: 0 }, agents: 1 },
      { ready: { default: 0, destHost: 0 }, agents: 0 },
    ]);
  });
});

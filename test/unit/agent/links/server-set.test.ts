import { describe, expect, it } from "vitest";
import { Backoff } from "../../../../agent/links/backoff.ts";
import type { OpenedLink } from "../../../../agent/links/server-connector.ts";
import { AggregateServerCounter, type LeaseCount } from "../../../../agent/links/server-count.ts";
import { ServerSet } from "../../../../agent/links/server-set.ts";
import { AgentMetrics } from "../../../../agent/metrics.ts";
import { ProxyError } from "../../../../shared/errors.ts";
import { expose } from "../../../../shared/metrics/registry.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { FakeServerLink } from "../../../support/fake-server-link.ts";
import { LogLines } from "../../../support/log-lines.ts";
import { MetricsPage } from "../../../support/metrics-page.ts";
import { seededNumbers } from "../../../support/seeded-numbers.ts";
import { turn } from "../../../support/turn.ts";

const bye = new ProxyError("shutdown", "the proxy agent is shutting down");

interface Attempt {
  readonly signal: AbortSignal;
  readonly resolve: (opened: OpenedLink) => void;
  readonly reject: (error: Error) => void;
}

function synced({ syncForever = false, leases }: { syncForever?: boolean; leases?: LeaseCount } = {}) {
  const clock = new FakeClock();
  const lines = new LogLines();
  const metrics = new AgentMetrics({ version: "test" });
  const attempts: Attempt[] = [];
  const connector = {
    open: ({ signal }: { readonly signal: AbortSignal }) =>
      new Promise<OpenedLink>((resolve, reject) => {
        const abort = () => reject(signal.reason);
        signal.addEventListener("abort", abort, { once: true });
        const over = () => signal.removeEventListener("abort", abort);
        attempts.push({
          signal,
          resolve: (opened) => {
            over();
            resolve(opened);
          },
          reject: (error) => {
            over();
            reject(error);
          },
        });
      }),
  };
  const servers = new ServerSet(
    {
      clock,
      log: lines.log,
      metrics,
      connector,
      counter: new AggregateServerCounter({ leases }, { source: "default" }),
      backoff: new Backoff({ random: () => 0 }, { baseMs: 1_000, capMs: 10_000 }),
      probes: new Backoff({ random: () => 0 }, { baseMs: 1_000, capMs: 30_000 }),
    },
    { syncForever },
  );
  servers.start();
  return {
    clock,
    servers,
    attempts,
    /** Answers the attempt under way, and lets the loop go to sleep. */
    meet: async (link: FakeServerLink) => {
      attempts.at(-1)?.resolve(link);
      await turn();
      return link;
    },
    fail: async (reason = "connection refused") => {
      attempts.at(-1)?.reject(new Error(reason));
      await turn();
    },
    warnings: () => lines.of("warn").length,
    goOn: async (ms: number) => {
      clock.advance(ms);
      await turn();
    },
    gauge: async (name: string) =>
      new MetricsPage(await expose(metrics.registry)).sum(`konnectivity_network_proxy_agent_${name}`),
  };
}

describe("how many servers it links to", () => {
  it("is as many different ones as they say there are; each is started", async () => {
    const { attempts, meet, goOn, servers, gauge, clock } = synced();
    const first = await meet(new FakeServerLink("a", 2));
    expect([first.started, servers.size]).toEqual([true, 1]);
    await goOn(1_000);
    expect(attempts.length).toBe(2);
    const second = await meet(new FakeServerLink("b", 2));
    expect([second.started, servers.size, await gauge("open_server_connections")]).toEqual([true, 2, 2]);
    await goOn(5_000);
    expect(attempts.length).toBe(2);
    expect(await gauge("known_server_count")).toBe(2);
    await servers.stop(bye);
    expect(clock.pending).toBe(0);
  });

  it("does not count one it has already: the new link is closed unused, and the next try comes without back-off", async () => {
    const { attempts, meet, goOn, servers } = synced();
    const kept = await meet(new FakeServerLink("a", 2));
    await goOn(1_000);
    const again = await meet(new FakeServerLink("a", 3));
    expect([again.started, again.closedWith?.code, kept.closedWith, servers.size]).toEqual([
      false,
      "cancelled",
      undefined,
      1,
    ]);
    await goOn(1_000);
    expect(attempts.length).toBe(3);
    await servers.stop(bye);
  });

  it("is told by one that it has already as well", async () => {
    const { attempts, meet, goOn, servers, gauge } = synced();
    await meet(new FakeServerLink("a", 2));
    await goOn(1_000);
    await meet(new FakeServerLink("a", 1));
    await goOn(60_000);
    expect([attempts.length, await gauge("known_server_count")]).toEqual([2, 1]);
    await servers.stop(bye);
  });

  it("R-4.4: is not the word of an old server among new ones that know of more, while three take the place of one", async () => {
    const { meet, goOn, servers, gauge } = synced();
    const old = {
      a: await meet(new FakeServerLink("a1", 1)),
      b: new FakeServerLink("b1", 1),
      c: new FakeServerLink("c1", 1),
    };
    const replaced = async (link: FakeServerLink, ...next: FakeServerLink[]) => {
      link.end(new ProxyError("agent_lost", "lost"));
      for (const met of next) {
        await goOn(1_000);
        await meet(met);
      }
    };
    await replaced(old.a, old.b);
    await replaced(old.b, new FakeServerLink("a2", 3), old.c);
    expect(await gauge("open_server_connections")).toBe(2);
    await replaced(old.c, new FakeServerLink("b2", 3), new FakeServerLink("c2", 3));
    expect([servers.size, await gauge("open_server_connections")]).toEqual([3, 3]);
    await servers.stop(bye);
  });

  it("grows with the count of leases, at once", async () => {
    let grow = () => {};
    const leases = {
      count: 1,
      servers: new Set<string>(),
      onGrown: (listener: () => void) => {
        grow = listener;
      },
    };
    const { attempts, meet, goOn, servers, gauge } = synced({ leases });
    await meet(new FakeServerLink("a", 9));
    await goOn(5_500);
    expect(attempts.length).toBe(1);
    leases.count = 2;
    grow();
    await turn();
    expect([attempts.length, await gauge("known_server_count")]).toEqual([2, 2]);
    await meet(new FakeServerLink("b", 9));
    expect(servers.size).toBe(2);
    await servers.stop(bye);
  });

  it("is one more where a lease names a server that is not linked, though there are links enough: of another the lease has run out", async () => {
    const leases = { count: 2, servers: new Set(["a", "b"]), onGrown: () => {} };
    const { attempts, meet, goOn, servers } = synced({ leases });
    await meet(new FakeServerLink("a"));
    await goOn(1_000);
    await meet(new FakeServerLink("x"));
    await goOn(1_000);
    expect((await meet(new FakeServerLink("b"))).started).toBe(true);
    await goOn(60_000);
    expect([attempts.length, servers.size]).toEqual([3, 3]);
    await servers.stop(bye);
  });

  it("has no bound with sync-forever, but ever rarer attempts beyond the count, until one meets a new server", async () => {
    const { attempts, meet, goOn, servers } = synced({ syncForever: true });
    await meet(new FakeServerLink("a", 1));
    const secondsOfAttempts = async (from: number, to: number) => {
      const found: number[] = [];
      for (let second = from; second <= to; second++) {
        const before = attempts.length;
        await goOn(1_000);
        if (attempts.length === before) continue;
        found.push(second);
        await meet(new FakeServerLink("a", 1));
      }
      return found;
    };
    expect(await secondsOfAttempts(1, 300)).toEqual([
      1, 2, 4, 7, 11, 17, 25, 37, 55, 81, 111, 141, 171, 201, 231, 261, 291,
    ]);
    await goOn(29_000);
    await goOn(1_000);
    const newcomer = await meet(new FakeServerLink("b", 1));
    expect([newcomer.started, servers.size]).toEqual([true, 2]);
    expect(await secondsOfAttempts(1, 10)).toEqual([1, 2, 4, 7]);
    await servers.stop(bye);
  });

  it("is looked after at the usual pace with sync-forever too, when a link is lost between attempts", async () => {
    const { attempts, meet, goOn, servers } = synced({ syncForever: true });
    const link = await meet(new FakeServerLink("a", 1));
    for (let second = 1; second <= 60; second++) {
      await goOn(1_000);
      attempts.at(-1)?.resolve(new FakeServerLink("a", 1));
      await turn();
    }
    const before = attempts.length;
    link.end(new ProxyError("agent_lost", "lost"));
    await turn();
    await goOn(1_000);
    expect(attempts.length).toBe(before + 1);
    await servers.stop(bye);
  });

  it("has one attempt at a time", async () => {
    const { attempts, goOn, servers } = synced();
    await goOn(60_000);
    servers.start();
    await goOn(60_000);
    expect(attempts.length).toBe(1);
    await servers.stop(bye);
  });
});

describe("a server that cannot be reached", () => {
  it("is tried again after waits that grow, and from the shortest after success", async () => {
    const { attempts, fail, goOn, meet, servers } = synced();
    for (const waitMs of [1_000, 1_500, 2_250]) {
      await fail();
      const before = attempts.length;
      await goOn(waitMs - 1);
      expect(attempts.length).toBe(before);
      await goOn(1);
      expect(attempts.length).toBe(before + 1);
    }
    const link = await meet(new FakeServerLink("a"));
    link.end(new ProxyError("agent_lost", "lost"));
    await goOn(1_000);
    await fail();
    const before = attempts.length;
    await goOn(1_000);
    expect(attempts.length).toBe(before + 1);
    await servers.stop(bye);
  });
});

describe("a link that ends", () => {
  it("is looked for again", async () => {
    const { attempts, meet, goOn, servers, gauge } = synced();
    const link = await meet(new FakeServerLink("a"));
    link.end(new ProxyError("agent_lost", "lost"));
    await turn();
    expect([servers.size, await gauge("open_server_connections")]).toEqual([0, 0]);
    await goOn(1_000);
    expect(attempts.length).toBe(2);
    await servers.stop(bye);
  });

  it("while its server is met again is looked for once more: named as linked, the server has turned that one away", async () => {
    const { attempts, meet, goOn, servers } = synced();
    const old = await meet(new FakeServerLink("a", 2));
    await goOn(1_000);
    old.end(new ProxyError("agent_lost", "lost"));
    await turn();
    const refused = await meet(new FakeServerLink("a", 2));
    expect([refused.started, refused.closedWith?.code, servers.size]).toEqual([false, "cancelled", 0]);
    await goOn(1_000);
    expect(attempts.length).toBe(3);
    expect((await meet(new FakeServerLink("a", 2))).started).toBe(true);
    await servers.stop(bye);
  });

  it("late does not remove the newer link to the same server", async () => {
    const { meet, servers, gauge } = synced();
    const old = await meet(new FakeServerLink("a"));
    old.goaway();
    await turn();
    const newer = await meet(new FakeServerLink("a"));
    expect([newer.started, servers.size]).toEqual([true, 1]);
    old.end(new ProxyError("agent_lost", "lost at last"));
    await turn();
    expect([servers.size, await gauge("open_server_connections")]).toEqual([1, 1]);
    await servers.stop(bye);
    expect(newer.closedWith).toBe(bye);
  });
});

describe("a server that goes away", () => {
  it("keeps its link while another is looked for at once", async () => {
    const { attempts, meet, servers } = synced();
    const link = await meet(new FakeServerLink("a"));
    link.goaway();
    link.goaway();
    await turn();
    expect([servers.size, attempts.length, link.closedWith]).toEqual([0, 2, undefined]);
    servers.drain();
    expect(link.state).toBe("draining");
    await servers.stop(bye);
    expect(link.closedWith).toBe(bye);
  });
});

describe("R-6.2: a server that goes away and is met again", () => {
  const metAgain = async () => {
    const set = synced();
    const first = await set.meet(new FakeServerLink("a"));
    first.goaway();
    await turn();
    return { ...set, first, second: await set.meet(new FakeServerLink("a")) };
  };

  it("and goes away on the new link too keeps the old one, and is asked at the usual pace", async () => {
    const { attempts, goOn, meet, servers, first, second } = await metAgain();
    second.goaway();
    await turn();
    expect([attempts.length, first.closedWith, second.closedWith?.code]).toEqual([2, undefined, "cancelled"]);
    for (let seconds = 1; seconds <= 20; seconds++) {
      await goOn(1_000);
      expect(attempts.length).toBe(2 + seconds);
      const next = await meet(new FakeServerLink("a"));
      next.goaway();
      await turn();
      expect(next.closedWith?.code).toBe("cancelled");
    }
    await goOn(1_000);
    const other = await meet(new FakeServerLink("b"));
    expect([other.started, servers.size, first.closedWith]).toEqual([true, 1, undefined]);
    await servers.stop(bye);
  });

  it("goes on to serve what the new link has when that is told the same", async () => {
    const { servers, second } = await metAgain();
    second.busy = true;
    second.goaway();
    await turn();
    expect([servers.size, second.closedWith]).toEqual([0, undefined]);
    await servers.stop(bye);
    expect(second.closedWith).toBe(bye);
  });

  it("is a new one once the old link has ended: what it says is acted on at once", async () => {
    const { attempts, servers, first, second } = await metAgain();
    first.end(new ProxyError("agent_lost", "lost"));
    await turn();
    second.goaway();
    await turn();
    expect([attempts.length, second.closedWith]).toEqual([3, undefined]);
    await servers.stop(bye);
  });
});

describe("drain", () => {
  it("is told to every link, and no other is looked for", async () => {
    const { attempts, meet, goOn, servers } = synced();
    const link = await meet(new FakeServerLink("a", 2));
    servers.drain();
    expect(link.state).toBe("draining");
    await goOn(60_000);
    expect(attempts.length).toBe(1);
    await servers.stop(bye);
  });

  it("is told to a link that was being opened", async () => {
    const { meet, servers } = synced();
    servers.drain();
    const link = await meet(new FakeServerLink("a"));
    expect([link.started, link.state]).toEqual([true, "draining"]);
    await servers.stop(bye);
  });
});

it("warns of a failure when it is news: the first time, and when the reason is another", async () => {
  const { fail, goOn, warnings, servers } = synced();
  await fail();
  expect(warnings()).toBe(1);
  await goOn(1_000);
  await fail();
  expect(warnings()).toBe(1);
  await goOn(1_500);
  await fail("the token file is empty");
  expect(warnings()).toBe(2);
  await servers.stop(bye);
});

it("one of several servers that fails is no news each time that the others are met in between", async () => {
  const { fail, goOn, meet, warnings, servers } = synced();
  const link = await meet(new FakeServerLink("a", 2));
  for (let time = 0; time < 3; time++) {
    await goOn(1_000);
    await fail();
    await goOn(1_000);
    await meet(new FakeServerLink("a", 2));
  }
  expect(warnings()).toBe(1);
  link.end(new ProxyError("agent_lost", "lost"));
  await turn();
  await goOn(1_000);
  await fail();
  expect(warnings()).toBe(2);
  await servers.stop(bye);
});

describe("R-4.6: an address that leads to fewer servers than there are to be", () => {
  const met = async (set: ReturnType<typeof synced>, times: number) => {
    for (let time = 0; time < times; time++) {
      await set.goOn(1_000);
      await set.meet(new FakeServerLink("a", 2));
    }
  };

  it("is told once, after ten attempts for each server, and again only after a link has come or gone", async () => {
    const set = synced();
    const link = await set.meet(new FakeServerLink("a", 2));
    await met(set, 19);
    expect(set.warnings()).toBe(0);
    await met(set, 1);
    expect(set.warnings()).toBe(1);
    await met(set, 100);
    expect(set.warnings()).toBe(1);
    link.end(new ProxyError("agent_lost", "lost"));
    await turn();
    await met(set, 21);
    expect(set.warnings()).toBe(2);
    await set.servers.stop(bye);
  });

  it("is none with sync-forever, which asks further although all are linked", async () => {
    const set = synced({ syncForever: true });
    await set.meet(new FakeServerLink("a", 1));
    for (let time = 0; time < 40; time++) {
      await set.goOn(33_000);
      await set.meet(new FakeServerLink("a", 1));
    }
    expect([set.attempts.length > 30, set.warnings()]).toEqual([true, 0]);
    await set.servers.stop(bye);
  });
});

describe("R-4.3: two agents in step behind a balancer that deals in turn", () => {
  it.each([0, 0.2, 0.5, 0.9])(
    "each meet both servers within half a minute, the second %s s behind the first",
    async (behind) => {
      const clock = new FakeClock();
      const numbers = seededNumbers(1 + behind * 10);
      const random = () => numbers(1_000) / 1_000;
      let connections = 0;
      const connector = { open: async () => new FakeServerLink(connections++ % 2 === 0 ? "a" : "b", 2) };
      const agent = () =>
        new ServerSet(
          {
            clock,
            log: new LogLines().log,
            metrics: new AgentMetrics({ version: "test" }),
            connector,
            counter: new AggregateServerCounter({ leases: undefined }, { source: "default" }),
            backoff: new Backoff({ random }, { baseMs: 1_000, capMs: 10_000 }),
            probes: new Backoff({ random }, { baseMs: 1_000, capMs: 30_000 }),
          },
          { syncForever: false },
        );
      const agents = [agent(), agent()];
      const goOn = async (ms: number) => {
        for (let passed = 0; passed < ms; passed += 10) {
          clock.advance(10);
          await turn();
        }
      };
      for (const one of agents) {
        one.start();
        await goOn(behind * 1_000);
      }
      await goOn(30_000 - behind * 2_000);
      expect(agents.map(({ size }) => size)).toEqual([2, 2]);
      for (const one of agents) await one.stop(bye);
    },
  );
});

describe("stop", () => {
  it("while it connects ends the attempt, and the loop", async () => {
    const { attempts, servers, clock } = synced();
    await servers.stop(bye);
    expect(attempts[0]?.signal.reason).toBe(bye);
    expect(clock.pending).toBe(0);
  });

  it("while it sleeps ends the sleep, the links and the loop", async () => {
    const { meet, servers, clock, attempts } = synced();
    const link = await meet(new FakeServerLink("a"));
    await servers.stop(bye);
    await servers.stop(bye);
    expect(link.closedWith).toBe(bye);
    expect([servers.size, clock.pending, attempts.length]).toEqual([0, 0, 1]);
  });

  it("in the turn in which an attempt succeeds leaves no link behind", async () => {
    const { attempts, servers, clock } = synced();
    const link = new FakeServerLink("a");
    attempts[0]?.resolve(link);
    await servers.stop(bye);
    expect(link.state).toBe("closed");
    expect(servers.size).toBe(0);
    expect(clock.pending).toBe(0);
  });
});

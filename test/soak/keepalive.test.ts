import { expect } from "vitest";
import { echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import type { Implementation, ProxyProcess, Reference } from "../support/processes.ts";
import { rounds } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { openConnection } from "../support/transfers.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";

/**
 * A reference server answers pings that come too often with GOAWAY, and what its agents bear is for these tests to say. Each
 * ping is an event: the reference logs every HTTP/2 frame.
 */
const frameLog = { GODEBUG: "http2debug=2", GRPC_GO_LOG_SEVERITY_LEVEL: "info", GRPC_GO_LOG_VERBOSITY_LEVEL: "2" };
const pingRead = /read PING len/;
/** A reference server counts a ping that comes sooner after the one before it, and no data in between, against the agent. */
const agentsPingGapMinMs = 30_000;
const complaint = /GOAWAY|too_many_pings|ENHANCE_YOUR_CALM/i;

interface Case {
  readonly server: Implementation;
  readonly agent: Implementation;
  /** Between two pings of our half on a silent link, and how many of them make half a minute and ten minutes. */
  readonly pingEveryMs: number;
  readonly pings: number;
}
const ofServer = (agent: Reference): Case => ({ server: "hawser", agent, pingEveryMs: 4_000, pings: inSoak(8, 150) });
const ofAgent = (server: Reference): Case => ({ server, agent: "hawser", pingEveryMs: 31_000, pings: inSoak(1, 20) });

for (const { server, agent, pingEveryMs, pings } of [
  ofServer("reference-v0.36.0"),
  ofServer("reference-v0.30.3"),
  ofAgent("reference-v0.36.0"),
  ofAgent("reference-v0.30.3"),
]) {
  for (const traffic of ["idle", "with an echo after each ping"] as const) {
    const timeoutMs = 2 * pings * pingEveryMs + 60_000;
    rounds(
      `R-2.2: ${server} server, ${agent} agent, ${traffic}`,
      { times: inSoak(2, 1), timeoutMs },
      async (report) => {
        const tunnel = await start(server, agent);
        const echo = await echoEndpoint();
        try {
          const seen = new Seen(tunnel);
          const { duplex, close } = await openConnection(tunnel, echo.address);
          const linkedAt = performance.now();
          for (let count = 1; count <= pings; count++) {
            await seen.pingNumber(count, 2 * pingEveryMs);
            if (traffic === "idle") continue;
            duplex.write("hello");
            expect(String(await readBytes(duplex, 5))).toBe("hello");
          }
          report("minutes", (performance.now() - linkedAt) / 60_000);
          report("pings", seen.pings);
          const gapsMs = seen.pingsAt.map((at, index) => at - (seen.pingsAt[index - 1] ?? linkedAt));
          report("shortest time between two, s", Math.min(...gapsMs) / 1_000);
          report("links made", seen.links);
          report("links ended", seen.ends);
          report("complaints of the reference", seen.complaints.length);
          expect(seen).toMatchObject({ links: 1, ends: 0, complaints: [] });
          if (agent === "hawser") expect(Math.min(...gapsMs)).toBeGreaterThanOrEqual(agentsPingGapMinMs);
          // The connection that was opened first still carries bytes.
          duplex.write("bye");
          expect(String(await readBytes(duplex, 3))).toBe("bye");
          await close();
        } finally {
          await tunnel.stop();
          await echo.close();
        }
      },
    );
  }
}

function start(server: Implementation, agent: Implementation): Promise<Tunnel> {
  const frontend = { protocol: "grpc", transport: "uds" } as const;
  const flagsOf = (half: Implementation) => (half === "hawser" ? [] : ["--v=4"]);
  return Tunnel.start({
    server,
    agent,
    frontend,
    env: frameLog,
    serverFlags: flagsOf(server),
    agentFlags: flagsOf(agent),
  });
}

/** What the two logs have told so far. */
class Seen {
  readonly pingsAt: number[] = [];
  links = 0;
  ends = 0;
  readonly complaints: string[] = [];
  readonly #tunnel: Tunnel;

  constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
    const [agent] = tunnel.agents as [ProxyProcess];
    const oursIsServer = tunnel.serverImplementation === "hawser";
    const [ours, reference] = oursIsServer ? [tunnel.server, agent] : [agent, tunnel.server];
    const [linked, ended] = oursIsServer
      ? ["agent linked", "agent link ended"]
      : ["linked to server", "link to server ended"];
    ours.follow((line) => {
      if (line.includes(`"${linked}"`)) this.links += 1;
      if (line.includes(`"${ended}"`)) this.ends += 1;
    });
    reference.follow((line) => {
      if (pingRead.test(line)) this.pingsAt.push(performance.now());
      if (complaint.test(line)) this.complaints.push(line);
    });
  }

  get pings(): number {
    return this.pingsAt.length;
  }

  async pingNumber(count: number, withinMs: number): Promise<void> {
    const { server } = this.#tunnel;
    const describe = () => this.#tunnel.describe();
    await until(`ping number ${count}`, () => this.pings >= count, { withinMs, signal: server.gone, describe });
  }
}

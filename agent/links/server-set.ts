import type { Clock } from "../../shared/clock.ts";
import { ProxyError } from "../../shared/errors.ts";
import type { Log } from "../../shared/log.ts";
import { pause } from "../../shared/pause.ts";
import type { AgentMetrics } from "../metrics.ts";
import type { Backoff } from "./backoff.ts";
import type { ServerLink } from "./link.ts";
import type { ServerConnector } from "./server-connector.ts";
import type { AggregateServerCounter } from "./server-count.ts";

export interface ServerSetDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  readonly connector: { open: ServerConnector["open"] };
  readonly counter: AggregateServerCounter;
  /** Waits between attempts. */
  readonly backoff: Backoff;
  /** With `syncForever`, waits between attempts that go beyond the count and meet nobody new. */
  readonly probes: Backoff;
}

/** So often for each server that there is to be, one meets only servers that one has if one of them does not answer. */
const metAgainShare = 10;

/**
 * The servers that this agent is linked to. One address leads to all of them, and who answers is chance: so it connects
 * again and again until it has met as many different servers as there are. Source: the reference's sync loop.
 */
export class ServerSet {
  readonly #deps: ServerSetDeps;
  readonly #syncForever: boolean;
  /** One link a server id; links whose server goes away stand here no more, though they live on. */
  readonly #links = new Map<string, ServerLink>();
  readonly #goingAway = new Set<ServerLink>();
  readonly #stopping = new AbortController();
  #draining = false;
  /** Cuts the loop's present wait short. */
  #wake = new AbortController();
  #nextProbeAt = 0;
  /** Of the last failed attempt since a link came or went. */
  #lastReason: string | undefined;
  /** In a row, while there are to be more. */
  #metAgain = 0;
  #loop: Promise<void> | undefined;

  constructor(deps: ServerSetDeps, options: { readonly syncForever: boolean }) {
    this.#deps = deps;
    this.#syncForever = options.syncForever;
    deps.metrics.watchLinks(() => this.#all());
    deps.counter.onGrown(() => this.#wake.abort());
  }

  /** Links in use. */
  get size(): number {
    return this.#links.size;
  }

  start(): void {
    this.#loop ??= this.#sync();
  }

  /** Asks every server to prefer other agents, and links to no more servers. */
  drain(): void {
    this.#draining = true;
    for (const link of this.#all()) link.drain();
  }

  /** Ends every link, and the loop. */
  async stop(reason: ProxyError): Promise<void> {
    this.#draining = true;
    this.#stopping.abort(reason);
    this.#wake.abort();
    for (const link of this.#all()) link.close(reason);
    await this.#loop;
  }

  async #sync(): Promise<void> {
    const { backoff, clock, counter, log, metrics } = this.#deps;
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController();
      metrics.knownServerCount.set(counter.count);
      let waitMs: number;
      try {
        const { metAgain } = this.#wantsLink() ? await this.#connectOnce() : { metAgain: false };
        // Agents in step behind a balancer that deals in turn would each meet the same server for minutes.
        waitMs = metAgain ? backoff.scatter() : backoff.reset();
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        waitMs = backoff.next();
        const reason = (error as Error).message;
        // That it fails is news, and that it fails for another reason; that it goes on, or that one of several servers fails, is not.
        const level = reason === this.#lastReason ? "debug" : "warn";
        this.#lastReason = reason;
        log[level]({ reason, retryInMs: Math.round(waitMs), err: error }, "cannot link to a server");
      }
      await pause(clock, waitMs, { signal: this.#wake.signal, keepAlive: true });
    }
  }

  #wantsLink(): boolean {
    const { clock, counter } = this.#deps;
    if (this.#draining) return false;
    return counter.hasMoreThan(this.#links) || (this.#syncForever && clock.now() >= this.#nextProbeAt);
  }

  /** A server that is linked already is no failure: its new connection is closed, and the next try may meet another. */
  async #connectOnce(): Promise<{ readonly metAgain: boolean }> {
    const { clock, connector, counter, log, probes } = this.#deps;
    this.#nextProbeAt = clock.now() + probes.next();
    const linkedServers = [...this.#links.keys()];
    const opened = await connector.open({ signal: this.#stopping.signal, linkedServers });
    const { link } = opened;
    counter.heard(link.server);
    if (this.#stopping.signal.aborted) {
      link.close(this.#stopping.signal.reason);
      return { metAgain: false };
    }
    // One that was named to it turns this link away, also if the older one has ended meanwhile.
    const isLinked = this.#links.has(link.server.id);
    if (isLinked || linkedServers.includes(link.server.id)) {
      if (!isLinked) counter.left(link.server);
      link.close(new ProxyError("cancelled", "this agent is linked to this server already"));
      log.debug({ server: link.server.id }, "met a server that is linked already");
      this.#countMetAgain();
      return { metAgain: true };
    }
    // Who looks further may meet one more.
    this.#nextProbeAt = clock.now() + probes.reset();
    this.#links.set(link.server.id, link);
    this.#changed();
    opened.onGoaway(() => this.#goesAway(link));
    void link.ended.then((reason) => this.#ended(link, reason));
    log.info({ server: link.server.id, servers: link.server.count }, "linked to server");
    opened.start();
    if (this.#draining) link.drain();
    return { metAgain: false };
  }

  /** Who asks an address that leads to some of the servers only would else ask for ever, and nobody would know. */
  #countMetAgain(): void {
    const { counter, log } = this.#deps;
    if (!counter.hasMoreThan(this.#links)) return;
    this.#metAgain += 1;
    if (this.#metAgain !== metAgainShare * counter.count) return;
    log.warn(
      { linked: [...this.#links.keys()], servers: counter.count, attempts: this.#metAgain },
      "meets only servers that it is linked to, though there are to be more: either one does not answer, the address does not lead to all of them, or their number is wrong",
    );
  }

  /**
   * The server will take nothing new on this connection: what runs goes on, and a new link is looked for meanwhile. A server
   * that has said so on an older link as well would else get one more link each time, at once and without end.
   */
  #goesAway(link: ServerLink): void {
    if (this.#links.get(link.server.id) !== link) return;
    const again = [...this.#goingAway].some(({ server }) => server.id === link.server.id);
    this.#deps.log.info({ server: link.server.id }, "server goes away; its connections go on");
    this.#remove(link);
    this.#goingAway.add(link);
    this.#changed();
    if (!again) this.#wake.abort();
    else if (!link.busy) link.close(new ProxyError("cancelled", "this server goes away, and has an older link"));
  }

  /** Compared by object: a late end of an old link must not remove the newer one to the same server. */
  #ended(link: ServerLink, reason: ProxyError): void {
    this.#goingAway.delete(link);
    if (this.#links.get(link.server.id) === link) this.#remove(link);
    this.#changed();
    this.#deps.log.info({ server: link.server.id, reason: reason.message }, "link to server ended");
  }

  #remove({ server }: ServerLink): void {
    this.#links.delete(server.id);
    this.#deps.counter.left(server);
  }

  /** A link has come or gone. */
  #changed(): void {
    this.#lastReason = undefined;
    this.#metAgain = 0;
    this.#deps.metrics.openServerConnections.set(this.#links.size);
  }

  #all(): readonly ServerLink[] {
    return [...this.#links.values(), ...this.#goingAway];
  }
}

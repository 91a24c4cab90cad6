/** What a server said: who it is, and how many there are. */
export interface SaidCount {
  readonly id: string;
  readonly count: number;
}

/** How many servers there are to link to. */
export interface ServerCounter {
  readonly count: number;
}

/** A count that changes by itself. */
export interface LeaseCount extends ServerCounter {
  /** Ids of the servers that it is of. */
  readonly servers: ReadonlySet<string>;
  /** Calls the listener each time that the count has grown. */
  onGrown(listener: () => void): void;
}

/**
 * Believes the largest `servercount` among those that the linked servers said last, so that while servers are replaced one by one by
 * such as know of more, no old one has the last word. The last one heard where no server is linked; 1 until one answered.
 */
export class ResponseServerCounter implements ServerCounter {
  /** By server id. */
  readonly #said = new Map<string, number>();
  #last = 1;

  get count(): number {
    return this.#said.size === 0 ? this.#last : Math.max(...this.#said.values());
  }

  heard({ id, count }: SaidCount): void {
    this.#last = count > 0 ? count : 1;
    this.#said.set(id, this.#last);
  }

  /** The server is linked no more. */
  left({ id }: Pick<SaidCount, "id">): void {
    this.#said.delete(id);
  }
}

/** `--server-count-source`: `default` believes leases where they are counted, `max` the larger count. */
export type ServerCountSource = "default" | "max";

/** What servers say and what leases say, made one count. Source: the reference. */
export class AggregateServerCounter implements ServerCounter {
  readonly #responses = new ResponseServerCounter();
  readonly #leases: LeaseCount | undefined;
  readonly #source: ServerCountSource;

  /** Without `leases` the servers' word is all there is. */
  constructor(deps: { readonly leases: LeaseCount | undefined }, options: { readonly source: ServerCountSource }) {
    this.#leases = deps.leases;
    this.#source = options.source;
  }

  /** What a server that answered said. Call `left` when it is not, or no more, linked. */
  heard(said: SaidCount): void {
    this.#responses.heard(said);
  }

  left(server: Pick<SaidCount, "id">): void {
    this.#responses.left(server);
  }

  get count(): number {
    const said = this.#responses.count;
    const counted = this.#leases?.count ?? said;
    return Math.max(1, this.#source === "max" ? Math.max(said, counted) : counted);
  }

  /**
   * Whether there are servers besides `linked`, by id: by their number, or because a lease names one. The number alone would not do
   * where a linked server's lease has run out, as it does while that server cannot reach kube-apiserver.
   */
  hasMoreThan(linked: ReadonlyMap<string, unknown>): boolean {
    if (linked.size < this.count) return true;
    const named = this.#leases?.servers ?? new Set<string>();
    return [...named].some((id) => !linked.has(id));
  }

  /** Growth of leases that does not make the whole count grow is told as well. */
  onGrown(listener: () => void): void {
    this.#leases?.onGrown(listener);
  }
}

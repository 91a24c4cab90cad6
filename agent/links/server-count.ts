/** How many servers there are to link to. */
export interface ServerCounter {
  readonly count: number;
}

/** A count that changes by itself. */
export interface LeaseCount extends ServerCounter {
  /** Calls the listener each time that the count has grown. */
  onGrown(listener: () => void): void;
}

/** Believes what the last server that answered said in its `servercount` header; 1 until one did. */
export class ResponseServerCounter implements ServerCounter {
  #count = 1;

  get count(): number {
    return this.#count;
  }

  heard(count: number): void {
    this.#count = count > 0 ? count : 1;
  }
}

/** `--server-count-source`: `default` believes leases where they are counted, `max` the larger count. */
export type ServerCountSource = "default" | "max";

/** What servers say and what leases say, made one count. Source: the reference. */
export class AggregateServerCounter implements LeaseCount {
  readonly #responses = new ResponseServerCounter();
  readonly #leases: LeaseCount | undefined;
  readonly #source: ServerCountSource;

  /** Without `leases` the servers' word is all there is. */
  constructor(deps: { readonly leases: LeaseCount | undefined }, options: { readonly source: ServerCountSource }) {
    this.#leases = deps.leases;
    this.#source = options.source;
  }

  /** What a server that answered said. */
  heard(count: number): void {
    this.#responses.heard(count);
  }

  get count(): number {
    const said = this.#responses.count;
    const counted = this.#leases?.count ?? said;
    return Math.max(1, this.#source === "max" ? Math.max(said, counted) : counted);
  }

  /** Growth of leases that does not make the whole count grow is told as well. */
  onGrown(listener: () => void): void {
    this.#leases?.onGrown(listener);
  }
}

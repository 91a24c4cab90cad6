/** Most clients beyond the limit that are let in to be told so: a sixteenth of the limit, and no more than this. */
const refusedMax = 64;
const refusedShare = 16;

/**
 * Bounds the clients of a listener. When there are too many, the oldest goes that is not in use: of a frontend, that has neither dial nor
 * connection. Where all are, a newcomer is let in, so that what it asks for can be refused in words, but only a few of those at once.
 */
export class ClientGate<Client> {
  /** How often each is in use. */
  readonly #clients = new Map<Client, number>();
  /** Those that are not, longest idle first. */
  readonly #idle = new Set<Client>();
  readonly #max: number;
  readonly #onEvicted: (client: Client) => void;

  constructor(options: { readonly max: number; readonly onEvicted: (client: Client) => void }) {
    this.#max = options.max;
    this.#onEvicted = options.onEvicted;
  }

  get clients(): Iterable<Client> {
    return this.#clients.keys();
  }

  /** Counts a client until `leave`. May evict another one. */
  enter(client: Client): void {
    this.#clients.set(client, 0);
    this.#idle.add(client);
    const refusedRoom = Math.min(refusedMax, Math.ceil(this.#max / refusedShare));
    if (this.#clients.size <= this.#max || this.#idle.size <= refusedRoom) return;
    const [oldest] = this.#idle;
    if (oldest === undefined) return;
    this.leave(oldest);
    this.#onEvicted(oldest);
  }

  leave(client: Client): void {
    this.#clients.delete(client);
    this.#idle.delete(client);
  }

  /** A client is in use from now on until `done` settles. */
  use(client: Client, done: Promise<void>): void {
    this.#change(client, 1);
    void done.then(() => this.#change(client, -1));
  }

  #change(client: Client, by: 1 | -1): void {
    const uses = this.#clients.get(client);
    if (uses === undefined) return;
    this.#clients.set(client, uses + by);
    if (uses + by > 0) this.#idle.delete(client);
    else this.#idle.add(client);
  }
}

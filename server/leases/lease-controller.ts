import { LeaseCollector, type LeaseCollectorDeps } from "./lease-collector.ts";
import { type LeaseOptions, LeasePublisher } from "./lease-publisher.ts";

/** What a server does with leases: keeps its own, and removes those that have expired. Nothing else waits for it. */
export class LeaseController {
  readonly #publisher: LeasePublisher;
  readonly #collector: LeaseCollector;

  constructor(deps: LeaseCollectorDeps, options: LeaseOptions) {
    this.#publisher = new LeasePublisher(deps, options);
    this.#collector = new LeaseCollector(deps, options);
  }

  start(): void {
    this.#publisher.start();
    this.#collector.start();
  }

  /** Resolves within 4 s, when this server's lease is deleted or the API has not answered. */
  async stop(): Promise<void> {
    await Promise.all([this.#publisher.stop(), this.#collector.stop()]);
  }
}

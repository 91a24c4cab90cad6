import type { ServerLink } from "../../agent/links/link.ts";
import type { OpenedLink } from "../../agent/links/server-connector.ts";
import type { ProxyError } from "../../shared/errors.ts";

/** A server whose end of the link is the test. */
export class FakeServerLink implements ServerLink, OpenedLink {
  readonly server: { readonly id: string; readonly count: number };
  readonly ended: Promise<ProxyError>;
  readonly link = this;
  state: "ready" | "draining" | "closed" = "ready";
  busy = false;
  started = false;
  closedWith: ProxyError | undefined;
  /** The server says that it goes away. */
  goaway: () => void = () => {};
  #end: (reason: ProxyError) => void = () => {};

  constructor(id: string, count = 1) {
    this.server = { id, count };
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  start(): void {
    this.started = true;
  }

  onGoaway(listener: () => void): void {
    this.goaway = listener;
  }

  drain(): void {
    this.state = "draining";
  }

  close(reason: ProxyError): void {
    this.closedWith ??= reason;
    this.end(reason);
  }

  /** The link ends, whoever ended it. */
  end(reason: ProxyError): void {
    this.state = "closed";
    this.#end(reason);
  }
}

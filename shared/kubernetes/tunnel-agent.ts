import { Agent, type AgentOptions, type RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import type { Clock } from "../clock.ts";
import { openConnectTunnel } from "../http/connect-tunnel.ts";
import type { ProxyTarget } from "../http/no-proxy.ts";
import type { HttpProxy } from "../http/proxy-environment.ts";
import { version } from "../version.ts";

/** As long as a call may take. */
const tunnelTimeoutMs = 10_000;

/** Opens each of its connections, all to one target, through a proxy. */
export class TunnelAgent extends Agent {
  readonly #deps: { readonly clock: Clock };
  readonly #way: { readonly proxy: HttpProxy; readonly target: ProxyTarget };
  readonly #destroyed = new AbortController();

  constructor(
    deps: { readonly clock: Clock },
    way: { readonly proxy: HttpProxy; readonly target: ProxyTarget },
    options: AgentOptions,
  ) {
    super(options);
    this.#deps = deps;
    this.#way = way;
  }

  override createConnection(
    options: RequestOptions,
    done: (error: Error | null, stream: Duplex) => void = () => {},
  ): undefined {
    const { signal } = this.#destroyed;
    const userAgent = `hawser/${version}`;
    openConnectTunnel(this.#deps, { ...this.#way, userAgent, timeoutMs: tunnelTimeoutMs, signal }).then(
      (socket) => {
        const overTunnel = { ...options, socket };
        const encrypted = super.createConnection(overTunnel);
        if (encrypted) done(null, encrypted);
      },
      // With an error, nobody looks at the stream.
      (error: Error) => (done as (error: Error) => void)(error),
    );
  }

  override destroy(): void {
    this.#destroyed.abort(new Error("the client was closed"));
    super.destroy();
  }
}

import type { AgentLink, DialOrder, LinkedConnection } from "../../server/links/link.ts";
import type { DialId, Target } from "../../shared/dial.ts";
import type { ProxyError } from "../../shared/errors.ts";
import { parseAgentIdentifiers } from "../../shared/konnectivity/agent-identifiers.ts";

/** A dial that waits for the test to answer it. */
export interface FakeDial {
  readonly id: DialId;
  readonly target: Target;
  readonly signal: AbortSignal;
  readonly resolve: (connection: LinkedConnection) => void;
  readonly reject: (error: unknown) => void;
}

/** An agent whose state and answers the test decides. Rejects a dial by itself only when its signal aborts. */
export class FakeAgentLink implements AgentLink {
  readonly agent: AgentLink["agent"];
  state: AgentLink["state"] = "ready";
  openConnections = 0;
  pendingDials = 0;
  lanes = { inUse: 0, spare: 0 };
  roundTripMs: number | undefined;
  silenceMs = 0;
  readonly dials: FakeDial[] = [];
  closedWith: ProxyError | undefined;

  /** `identifiers` as in the header: `host=a&ipv4=10.0.0.1&default-route=true`. */
  constructor(id: string, identifiers = "") {
    this.agent = {
      id,
      identifiers: parseAgentIdentifiers(identifiers),
      subject: undefined,
      nodeName: undefined,
      peer: "192.0.2.7:1234",
      userAgent: undefined,
    };
  }

  silentMs(): number {
    return this.silenceMs;
  }

  drain(): void {}

  dial(order: DialOrder, options: { readonly signal: AbortSignal }) {
    return new Promise<LinkedConnection>((resolve, reject) => {
      if (options.signal.aborted) return reject(options.signal.reason);
      this.dials.push({ ...order, ...options, resolve, reject });
      options.signal.addEventListener("abort", () => reject(options.signal.reason), { once: true });
    });
  }

  close(reason: ProxyError): void {
    this.state = "closed";
    this.closedWith ??= reason;
  }
}

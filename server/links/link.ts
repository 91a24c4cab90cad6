import type { DialId, Target } from "../../shared/dial.ts";
import type { DialSignal } from "../../shared/dial-signal.ts";
import type { ProxyError } from "../../shared/errors.ts";
import type { AgentIdentifiers } from "../../shared/konnectivity/agent-identifiers.ts";
import type { LinkState } from "../../shared/lifecycle.ts";
import type { SpliceEnd } from "../../shared/stream/splice.ts";
import type { LaneCounts } from "../../shared/tunnel/lane-state.ts";
import type { ServerLimits } from "../options-limits.ts";

/** Who an agent says it is. The id and the identifiers are claims; its certificate or token proves the rest. */
export interface AgentIdentity {
  readonly id: string;
  readonly identifiers: AgentIdentifiers;
  /** Common name of the verified client certificate, or the user name that the reviewed token stands for. */
  readonly subject: string | undefined;
  /** The node that the reviewed token is bound to. */
  readonly nodeName: string | undefined;
  /** `host:port` that the agent's connection comes from. */
  readonly peer: string;
  readonly userAgent: string | undefined;
}

/** The agent's end of a connection that stands. */
export interface LinkedConnection extends SpliceEnd {
  /** Address that the agent connected to, where the wire tells. */
  readonly reached?: string;
}

/** What a link is asked for. */
export interface DialOrder {
  readonly id: DialId;
  readonly target: Target;
  /** Milliseconds for which the answer is waited for. */
  readonly remainingMs: number;
}

/** How much one agent may carry. */
export type AgentLinkLimits = Pick<ServerLimits, "agentConnectionsMax">;

/** One agent joined to this server. Implemented once for each protocol on the agent port. */
export interface AgentLink {
  readonly agent: AgentIdentity;
  readonly state: LinkState;
  readonly openConnections: number;
  readonly pendingDials: number;
  /** Undefined of a link that has none. */
  readonly lanes?: LaneCounts;
  /** The shortest that was measured, in milliseconds; undefined where none was. */
  readonly roundTripMs: number | undefined;
  /** Milliseconds since the agent's last byte. */
  silentMs(): number;
  /** Rejects with a ProxyError, at the latest when the link is lost. When `signal` aborts, with its reason. */
  dial(order: DialOrder, options: { readonly signal: DialSignal }): Promise<LinkedConnection>;
  /** Asks the agent to link to other servers, where the wire can say so; what runs goes on. */
  drain(): void;
  /** Ends the link and all that it carries, with `reason`. Safe to call twice. */
  close(reason: ProxyError): void;
}

import type { ProxyError } from "../../shared/errors.ts";
import type { LinkState } from "../../shared/lifecycle.ts";
import type { LaneCounts } from "../../shared/tunnel/lane-state.ts";

/** One server that this agent is joined to. Implemented once for each protocol that servers speak to agents. */
export interface ServerLink {
  readonly server: { readonly id: string; readonly count: number };
  readonly state: LinkState;
  /** Whether it has a dial or a connection. */
  readonly busy: boolean;
  /** Undefined of a link that has none. */
  readonly lanes?: LaneCounts;
  /** The shortest that was measured, in milliseconds; undefined where none was. */
  readonly roundTripMs?: number | undefined;
  /** Asks the server to prefer other agents; dials still come if there is none. */
  drain(): void;
  /** Ends the link and all that it carries. Safe to call twice. */
  close(reason: ProxyError): void;
  /** Resolves once the link has ended, with what ended it. */
  readonly ended: Promise<ProxyError>;
}

import { ProxyError } from "../errors.ts";
import { parseGoBool } from "../options/go-numbers.ts";
import { parseGoQuery } from "../options/go-query.ts";
import { ValueError } from "../options/value-error.ts";

/** Call metadata that breaks the contract. The message is the reference's where it has one, and may go to the peer. */
export class HeaderError extends ProxyError {
  constructor(message: string, options?: ErrorOptions) {
    super("protocol", message, options);
  }
}

/** The destinations that an agent says it can reach. Claims of the agent; the texts are compared as they are. */
export interface AgentIdentifiers {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  readonly host: readonly string[];
  /** Kept, though no strategy uses it. */
  readonly cidr: readonly string[];
  /** Whether it serves what no other agent names. */
  readonly defaultRoute: boolean;
}

/**
 * Reads `agentidentifiers` as Go's url.ParseQuery does. Keys may repeat; of `default-route` the first value counts, and one
 * that is no Go boolean is false; unknown keys are passed over. Throws HeaderError on a `;` or a broken escape.
 * Source: proto/PROTOCOL.md#headers
 */
export function parseAgentIdentifiers(text: string): AgentIdentifiers {
  const pairs = readQuery(text);
  const valuesOf = (key: string) => pairs.filter(([name]) => name === key).map(([, value]) => value);
  return {
    ipv4: valuesOf("ipv4"),
    ipv6: valuesOf("ipv6"),
    host: valuesOf("host"),
    cidr: valuesOf("cidr"),
    defaultRoute: isTrue(valuesOf("default-route")[0]),
  };
}

function readQuery(text: string): ReturnType<typeof parseGoQuery> {
  try {
    return parseGoQuery(text);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new HeaderError(`fail to parse url encoded string: ${error.message}`, { cause: error });
  }
}

function isTrue(text: string | undefined): boolean {
  try {
    return text !== undefined && parseGoBool(text);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    return false;
  }
}

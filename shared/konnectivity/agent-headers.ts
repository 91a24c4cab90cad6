import { type Metadata, metadataOf } from "../grpc/metadata.ts";
import { identifiersMaxBytes, idMaxBytes } from "../options/checks.ts";
import { goQuote } from "../options/value-error.ts";
import { version } from "../version.ts";
import { type AgentIdentifiers, HeaderError, parseAgentIdentifiers } from "./agent-identifiers.ts";
import { cleanErrorText } from "./dial-error-text.ts";

export { HeaderError } from "./agent-identifiers.ts";

const agentProduct = "hawser-agent/";
/** What our agent calls itself, whichever link it asks for. */
export const agentUserAgent = `${agentProduct}${version}`;

export function isHawserAgent(userAgent: string | undefined): boolean {
  return userAgent?.startsWith(agentProduct) ?? false;
}

/**
 * Request headers of `/AgentService/Connect`. `identifiers` is sent as it stands, also if it is empty.
 * White space around `token` is dropped, since a token file often ends with a line break that no header can carry.
 */
export function agentMetadata(agent: {
  readonly agentId: string;
  readonly identifiers: string;
  readonly token?: string;
}): Metadata {
  return metadataOf({
    agentid: agent.agentId,
    agentidentifiers: agent.identifiers,
    ...(agent.token === undefined ? {} : { authorization: `Bearer ${agent.token.trim()}` }),
  });
}

/** What an agent says of itself. Throws HeaderError. An empty `agentId` is legal. */
export function parseAgentMetadata(metadata: Metadata): {
  readonly agentId: string;
  readonly identifiers: AgentIdentifiers;
  /** As sent: printable ASCII. */
  readonly identifiersText: string;
} {
  const agentId = oneValue(metadata, "agentid", "agent ID", idMaxBytes);
  const sets = valuesOf(metadata, "agentidentifiers");
  const [identifiersText = ""] = sets;
  if (sets.length > 1) {
    throw refusal(`expected at most one set of agent identifiers in the context, got ${goList(sets)}`);
  }
  requirePrintable("agent identifiers", identifiersText, identifiersMaxBytes);
  return { agentId, identifiers: parseAgentIdentifiers(identifiersText), identifiersText };
}

/** Response headers of `/AgentService/Connect`. An agent waits for them before anything else: send them at once. */
export function serverMetadata(server: { readonly serverId: string; readonly serverCount: number }): Metadata {
  return metadataOf({ serverid: server.serverId, servercount: String(server.serverCount) });
}

/**
 * What a server says of itself. `serverCount` is any whole number; less than 1 means that the server does not know.
 * Throws HeaderError, also for a call that was refused and so has neither header.
 */
export function parseServerMetadata(metadata: Metadata): { readonly serverId: string; readonly serverCount: number } {
  const serverId = oneValue(metadata, "serverid", "server ID", idMaxBytes);
  const counts = valuesOf(metadata, "servercount");
  const [count] = counts;
  if (count === undefined || counts.length > 1) {
    throw new HeaderError(`expected one server count, got ${counts.length}`);
  }
  if (!/^[+-]?[0-9]+$/.test(count)) throw refusal(`strconv.Atoi: parsing ${goQuote(count)}: invalid syntax`);
  const serverCount = Number(count);
  if (!Number.isSafeInteger(serverCount)) {
    throw refusal(`strconv.Atoi: parsing ${goQuote(count)}: value out of range`);
  }
  return { serverId, serverCount };
}

function oneValue(metadata: Metadata, key: string, what: string, maxBytes: number): string {
  const values = valuesOf(metadata, key);
  const [value] = values;
  if (value === undefined || values.length > 1) {
    throw refusal(`expected one ${what} in the context, got ${goList(values)}`);
  }
  requirePrintable(what, value, maxBytes);
  return value;
}

const valuesOf = (metadata: Metadata, key: string): readonly string[] => (metadata.get(key) ?? []).map(String);

/** As Go prints a []string. */
const goList = (values: readonly string[]): string => `[${values.join(" ")}]`;

/** The text may quote what the peer sent, so it is cut and cleaned. */
const refusal = (text: string): HeaderError => new HeaderError(cleanErrorText(text));

/** gRPC allows no other text in a header; the ids also stand in logs and in answers to third parties. */
function requirePrintable(what: string, value: string, maxBytes: number): void {
  if (value.length > maxBytes || !/^[\x20-\x7e]*$/.test(value)) {
    throw new HeaderError(`${what} must be printable ASCII of at most ${maxBytes} bytes`);
  }
}

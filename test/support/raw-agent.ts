import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type ConnectionOptions, connect } from "node:tls";
import type { PairFiles } from "./certificates.ts";
import { RawSession, type RawStream } from "./raw-grpc.ts";
import type { TunnelFront } from "./tunnel.ts";

/** Destination that a raw agent serves, on a server that routes by destination; nothing listens there. */
export const rawAgentHost = "127.0.0.2";

type Front = Pick<TunnelFront, "server" | "workspace">;

/** A TLS connection to the agent port; with the workspace's agent certificate unless told otherwise. */
export async function agentSocket(
  tunnel: Front,
  {
    pair = tunnel.workspace.certificates.agent,
    ...tls
  }: { readonly pair?: PairFiles | "none" } & ConnectionOptions = {},
) {
  const { certificates } = tunnel.workspace;
  const socket = connect({
    host: "127.0.0.1",
    port: tunnel.server.agentPort,
    ca: readFileSync(certificates.agentCa),
    ALPNProtocols: ["h2"],
    ...(pair === "none" ? {} : { cert: readFileSync(pair.cert), key: readFileSync(pair.key) }),
    ...tls,
  });
  await once(socket, "secureConnect");
  return socket;
}

/** An agent that the server has admitted and that does nothing by itself. */
export interface RawAgent {
  readonly session: RawSession;
  readonly stream: RawStream;
}

export interface RawAgentOptions {
  readonly agentId?: string;
  /** The IPv4 address that it is dialed for, at any port. */
  readonly host?: string;
  /** All that it claims, in place of the address. */
  readonly identifiers?: string;
  /** Where it connects to, in place of the server's own port for agents. */
  readonly port?: number;
}

/** Resolves when the server has linked it; it is then dialed for its address. */
export async function linkRawAgent(tunnel: Front, options: RawAgentOptions = {}): Promise<RawAgent> {
  const { agentId = "raw-agent", host = rawAgentHost, identifiers = `ipv4=${host}` } = options;
  const { port = tunnel.server.agentPort } = options;
  const session = new RawSession(await agentSocket(tunnel, { port }));
  const stream = session.open("/AgentService/Connect", {
    agentid: agentId,
    agentidentifiers: identifiers,
  });
  const { serverid } = await stream.headers;
  if (serverid === undefined) throw new Error("the server did not link the raw agent");
  return { session, stream };
}

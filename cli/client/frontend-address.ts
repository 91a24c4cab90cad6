import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { hostPort } from "../../shared/host-port.ts";

/** Where a proxy server takes requests for connections. */
export type FrontendAddress =
  | { readonly kind: "uds"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly tls: FrontendTls };

/** PEM texts: whom to trust, and who asks. */
export interface FrontendTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What a dial through a frontend asks for. */
export interface FrontendDial {
  readonly frontend: FrontendAddress;
  /** `host:port` as the agent is to dial it, IPv6 in brackets. */
  readonly target: string;
  /** From the first packet to the proxy's answer. */
  readonly timeoutMs: number;
}

/** A socket that is connecting to the frontend. It belongs to the caller; what goes wrong comes as its `error`. */
export function openSocket(frontend: FrontendAddress, alpn: "h2" | "http/1.1"): Socket {
  if (frontend.kind === "uds") return connect({ path: frontend.path, allowHalfOpen: true });
  const { host, port, tls } = frontend;
  // Node's types do not know allowHalfOpen here; without it a FIN would be answered with one.
  const options = { ...tls, host, port, ALPNProtocols: [alpn], allowHalfOpen: true };
  return connectTls(options);
}

/** How people write it: `host:port`, or the socket's path. */
export function frontendText(frontend: FrontendAddress): string {
  return frontend.kind === "uds" ? frontend.path : hostPort(frontend.host, frontend.port);
}

import type { Duplex } from "node:stream";
import type { Clock } from "../../shared/clock.ts";
import type { Log } from "../../shared/log.ts";
import { dialConnect } from "./connect-client.ts";
import type { FrontendDial } from "./frontend-address.ts";
import { dialGrpc } from "./grpc-client.ts";

/** What a client speaks with a frontend. */
export type FrontendProtocol = "grpc" | "connect";

/** Opens a connection through a frontend by either protocol. See `dialGrpc` and `dialConnect`. */
export function dialFrontend(
  deps: { readonly log: Log; readonly clock: Clock },
  options: FrontendDial & { readonly protocol: FrontendProtocol },
  waits: { readonly signal: AbortSignal },
): Promise<Duplex> {
  return options.protocol === "grpc" ? dialGrpc(deps, options, waits) : dialConnect(deps, options, waits);
}

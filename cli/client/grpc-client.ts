import type { Duplex } from "node:stream";
import type { Clock } from "../../shared/clock.ts";
import { connectGrpc } from "../../shared/grpc/client.ts";
import type { GrpcClientSession } from "../../shared/grpc/stream.ts";
import type { Log } from "../../shared/log.ts";
import { version } from "../../shared/version.ts";
import { limitDial } from "./dial-limit.ts";
import { type FrontendAddress, type FrontendDial, openSocket } from "./frontend-address.ts";
import { ProxyStream } from "./proxy-stream.ts";

/** Source: proto/konnectivity.proto. */
const proxyPath = "/ProxyService/Proxy";

/**
 * Opens a connection through a gRPC frontend, on a gRPC connection of its own, as kube-apiserver does.
 * The Duplex knows only a full close (see ProxyStream.dial); once it has closed, nothing is left open.
 * Rejects with a ProxyError in the proxy's words if the proxy refused or did not answer, with a GrpcError if it cannot be reached or
 * broke off, and with the signal's reason.
 */
export async function dialGrpc(
  deps: { readonly log: Log; readonly clock: Clock },
  options: FrontendDial,
  { signal }: { readonly signal: AbortSignal },
): Promise<Duplex> {
  const limit = limitDial(deps.clock, options.timeoutMs, signal);
  let session: GrpcClientSession | undefined;
  try {
    session = await connectGrpc(deps, {
      socket: () => openSocket(options.frontend, "h2"),
      authority: authorityOf(options.frontend),
      userAgent: `hawser/${version}`,
      // Both ends may run on Node, and then one of them has to read always.
      elastic: true,
      connectTimeoutMs: options.timeoutMs,
      signal: limit.signal,
    });
    return await dialOn(session, deps.clock, options.target, limit.signal);
  } catch (error) {
    session?.abort("the dial failed");
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    limit.stop();
  }
}

function dialOn(session: GrpcClientSession, clock: Clock, target: string, signal: AbortSignal): Promise<Duplex> {
  const call = session.open(proxyPath);
  const stream = new ProxyStream({
    stream: call,
    clock,
    onClosed: () => {
      call.cancel("the client is done");
      void session.close();
    },
  });
  return stream.dial(target, { signal });
}

/** A socket's path would be refused by nghttp2, so there it is the name that the reference's clients use. */
function authorityOf(frontend: FrontendAddress): string {
  return frontend.kind === "uds" ? "localhost" : `${frontend.host}:${frontend.port}`;
}

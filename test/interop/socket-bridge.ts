import { connect } from "node:net";
import { pipeline } from "node:stream/promises";
import { type Endpoint, serve } from "../support/endpoints.ts";

/** Listens on TCP and joins each connection with one to a Unix socket, for programs that cannot speak to such a socket. */
export function bridgeToSocket(path: string): Promise<Endpoint> {
  return serve(async (socket) => {
    const onward = connect({ path, allowHalfOpen: true });
    await Promise.all([pipeline(socket, onward), pipeline(onward, socket)]);
  });
}

import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "../../shared/clock.ts";
import type { Log } from "../../shared/log.ts";

export type Protocol = "grpc" | "http-connect";

export const firstByteTimeoutMs = 10_000;
/** How every HTTP/2 connection begins; no HTTP/1 method starts like it. */
const http2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * Tells what a client speaks, for `--mode=auto`: by ALPN if it says `h2`, else by its first bytes, which are put back.
 * `then` is called once, unless the client says nothing for 10 s and is closed.
 */
export function sniffProtocol(
  socket: Socket,
  deps: { readonly clock: Clock; readonly log: Log; readonly onRefused: (limit: "first_byte_time") => void },
  then: (protocol: Protocol) => void,
): void {
  if (socket instanceof TLSSocket && socket.alpnProtocol === "h2") return then("grpc");
  const cancel = deps.clock.after(firstByteTimeoutMs, () => {
    deps.onRefused("first_byte_time");
    deps.log.info("client closed: it said nothing for 10 s");
    socket.destroy();
  });
  // Bytes go back only once they tell: put back at once they would make the socket readable again, over and over.
  let seen = Buffer.alloc(0);
  const look = () => {
    const more = socket.read() as Buffer | null;
    if (more === null) return;
    seen = Buffer.concat([seen, more]);
    const length = Math.min(seen.length, http2Preface.length);
    const matches = seen.subarray(0, length).equals(http2Preface.subarray(0, length));
    if (matches && length < 3) return; // "P" and "PR" begin other methods too
    settle();
    socket.unshift(seen);
    then(matches ? "grpc" : "http-connect");
  };
  const settle = () => {
    cancel();
    socket.off("readable", look).off("end", ended).off("close", settle);
  };
  const ended = () => socket.destroy();
  socket.on("readable", look).on("end", ended).on("close", settle);
}

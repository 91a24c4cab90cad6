import { connect, performServerHandshake } from "node:http2";
import { expect, test } from "vitest";
import { serverSessionOptions } from "../../../shared/grpc/http2-options.ts";
import { openGate } from "../../../shared/grpc/send-gate.ts";
import { SendArena } from "../../../shared/grpc/send-queue.ts";
import { ServerSession } from "../../../shared/grpc/server-session.ts";
import { GrpcCode } from "../../../shared/grpc/status.ts";
import type { GrpcServerCall } from "../../../shared/grpc/stream.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { deps, listenTcp } from "./hawser-peer.ts";

const shutGate = { ...openGate, fullFor: () => true };

test("a call that is failed while its last messages wait at the gate drops them, and sends its status at once", async () => {
  const handler = (call: GrpcServerCall) => {
    call.sendHeaders();
    call.send(Buffer.from("never sent"));
    call.finish({ code: GrpcCode.OK, message: "" });
    setImmediate(() => call.fail({ code: GrpcCode.INTERNAL, message: "" }));
  };
  const listening = await listenTcp((socket) => {
    // Its clock stands still: nothing here may wait for the grace that a failed call has.
    const clock = new FakeClock();
    new ServerSession({ ...deps, clock }, performServerHandshake(socket, serverSessionOptions(1)), socket, {
      arena: new SendArena(),
      gate: shutGate,
      handlers: new Map([["/Fail", handler]]),
      drainOnResets: false,
      onLost() {},
    });
  });
  const client = connect(`http://127.0.0.1:${listening.port}`);
  try {
    const stream = client.request({
      ":method": "POST",
      ":path": "/Fail",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const received: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => received.push(chunk));
    const trailers = await new Promise<object>((resolve) => stream.once("trailers", resolve));
    expect(trailers).toMatchObject({ "grpc-status": `${GrpcCode.INTERNAL}` });
    expect(received).toEqual([]);
  } finally {
    client.destroy();
    await listening.close();
  }
});

import { expect, test } from "vitest";
import { sharesByKind } from "../../bench/kinds-of-time.ts";

test("each function's time goes to whose code it is, and none is lost", () => {
  const shares = sharesByKind([
    { name: "(program)", place: "", share: 0.3 },
    { name: "writev", place: "", share: 0.2 },
    { name: "onStreamRead", place: "node:internal/stream_base_commons:168", share: 0.1 },
    { name: "connect", place: "node:internal/net:12", share: 0.05 },
    { name: "closeStream", place: "node:internal/http2/core:1944", share: 0.05 },
    { name: "send", place: "dist/shared/grpc/message-stream.js:74", share: 0.1 },
    { name: "deliver", place: "dist/shared/tunnel/lane-duplex.js:40", share: 0.1 },
    { name: "choose", place: "dist/server/links/registry.js:9", share: 0.1 },
  ]);
  expect([...shares].filter(([, share]) => share > 0)).toEqual([
    ["native code, called by the event loop", 0.3],
    ["native code, called by JavaScript", 0.2],
    ["Node: sockets and TLS", 0.05],
    ["Node: HTTP/2", 0.05],
    ["Node: streams", 0.1],
    ["Hawser: gRPC on HTTP/2", 0.1],
    ["Hawser: packets and lanes", 0.1],
    ["Hawser: all else", 0.1],
  ]);
});

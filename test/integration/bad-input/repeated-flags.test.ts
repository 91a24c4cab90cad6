import { expect, test } from "vitest";
import { readHead } from "../../support/frontend-client.ts";
import type { Scene } from "../../support/scene.ts";
import { useScene } from "../../support/use-scene.ts";

let scene: Scene;
// The transfers beside come by CONNECT, with a certificate whose name is in the first of the lists.
useScene(
  {
    frontend: { protocol: "connect", transport: "tcp" },
    serverFlags: [
      "--mode=nonsense-that-is-overruled",
      "--mode=grpc",
      "--mode=http-connect",
      "--frontend-client-names=client,another",
      "--frontend-client-names=third",
    ],
  },
  (started) => {
    scene = started;
  },
);

test("of a flag that stands on the command line more than once the last counts, and a list takes them all", async () => {
  const start = scene.tunnel.server.stderr.map((line) => JSON.parse(line)).find(({ flags }) => flags !== undefined);
  expect(start.flags).toMatchObject({ mode: "http-connect", "frontend-client-names": "client,another,third" });
  const socket = await scene.socket({ alpn: ["http/1.1"] });
  socket.write("GET / HTTP/1.1\r\n\r\n");
  expect(await readHead(socket)).toMatch(/^HTTP\/1\.1 4/);
});

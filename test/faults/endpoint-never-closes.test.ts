import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { Endpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import type { Scene } from "../support/scene.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";
import { links, protocols, useFaultScene } from "./fault-scene.ts";

/** The time-out that the halves are given, some seconds in which a closed socket is still read, and time for a busy machine. */
const closedWithinMs = 8_000;
const halfCloseTimeout = "--half-close-timeout=1s";

describe.each(links)("by $link", ({ agentFlags }) => {
  let scene: Scene;
  useFaultScene({ serverFlags: [halfCloseTimeout], agentFlags: [...agentFlags, halfCloseTimeout] }, (started) => {
    scene = started;
  });

  test.each(protocols)(
    "R-3.4: an endpoint that never answers its client's end, by %s: both are closed when the time-out is over",
    async (protocol) => {
      const stubborn = await scene.endpoint(
        Endpoint.listen(
          createServer({ allowHalfOpen: true }, (socket) =>
            socket
              .on("error", () => {})
              .resume()
              .write("here"),
          ),
        ),
      );
      const { duplex } = await scene.connection(stubborn.address, protocol);
      expect((await readBytes(duplex, 4)).toString()).toBe("here");
      const closed = once(duplex.resume(), protocol === "grpc" ? "end" : "close");
      duplex.end();
      await within(closedWithinMs, "the close at the client", closed);
      // The endpoint itself would see a reset only if it wrote something.
      const [agent] = scene.tunnel.agents;
      const closedToo = async () => (await agent?.metric("open_endpoint_connections")) === 0;
      await until("the close at the agent", closedToo, { withinMs: closedWithinMs });
    },
  );
});
